"""The tenant's own settings: one row, shown as `GET /api/v2/tenants/settings`."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from shared.database import Database

_CACHE_SECONDS: Final = 2.0


class Flags(BaseModel):
    """`flags`: those that change what we do; others are kept."""

    model_config = ConfigDict(extra="allow")

    enable_public_signup_user_exists_error: bool = False


class TenantFields(BaseModel):
    """What we act upon of a tenant's settings; every other one is kept as it came."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    default_directory: str | None = Field(default=None, max_length=128)
    friendly_name: str | None = Field(default=None, max_length=200)
    allowed_logout_urls: list[str] = Field(default_factory=list, max_length=200)
    flags: Flags = Flags()


class Tenant:
    """Reads and writes the settings."""

    def __init__(self, database: Database) -> None:
        """Cached for moments: every password grant without a realm asks."""
        self._database = database
        self._held: tuple[float, dict[str, Any]] = (0.0, {})

    async def settings(self) -> dict[str, Any]:
        """All that was set."""
        now = asyncio.get_running_loop().time()
        if self._held[0] > now:
            return self._held[1]
        row = await self._database.fetchrow("SELECT default_directory, settings FROM tenant")
        found: dict[str, Any] = {} if row is None else json.loads(row["settings"])
        if row is not None and row["default_directory"]:
            found["default_directory"] = row["default_directory"]
        self._held = (now + _CACHE_SECONDS, found)
        return found

    async def known(self) -> TenantFields:
        """What we act upon."""
        return TenantFields.model_validate(await self.settings())

    async def update(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Apply a PATCH; null unsets."""
        async with self._database.transaction() as session:
            row = await session.fetchval("SELECT settings FROM tenant FOR UPDATE")
            merged = {k: v for k, v in (json.loads(row) | changes).items() if v is not None}
            await session.execute(
                "UPDATE tenant SET settings = $1, default_directory = $2",
                json.dumps({k: v for k, v in merged.items() if k != "default_directory"}),
                changes.get("default_directory") or merged.get("default_directory"),
            )
        self._held = (0.0, {})
        return await self.settings()
