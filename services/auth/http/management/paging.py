"""Both ways to page (C§7.4), and the choice of fields."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field
from starlette.requests import Request

from services.auth.http.bodies import BadBody, Body, validate

MAX_PAGE: Final = 100


class Page(Body):
    """Either page and per_page with totals, or from and take."""

    page: int = Field(default=0, ge=0, le=100_000)
    per_page: int = Field(default=50, ge=0, le=MAX_PAGE)
    include_totals: bool = False
    take: Annotated[int, Field(ge=1, le=MAX_PAGE)] | None = None
    start: Annotated[str, Field(max_length=200)] | None = Field(default=None, alias="from")
    fields: Annotated[str, Field(max_length=2000)] | None = None
    include_fields: bool = True

    def window(self) -> tuple[int, int]:
        """Offset and limit."""
        if self.take is not None:
            return 0 if self.start is None else _offset(self.start), self.take
        size = self.per_page or 50  # 0 means the default, as at Auth0
        return self.page * size, size

    def chosen(self, shape: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that were asked for."""
        if not self.fields:
            return dict(shape)
        names = {name.strip() for name in self.fields.split(",")}
        return {
            name: item for name, item in shape.items() if (name in names) is self.include_fields
        }

    def answer(self, name: str, items: list[dict[str, Any]], total: int, **more: Any) -> Any:
        """An array, an envelope with totals, or a checkpoint; `take` wins (C§7.4)."""
        offset, limit = self.window()
        chosen = [self.chosen(item) for item in items]
        if self.take is not None:
            end = offset + len(items)
            return {name: chosen} | ({"next": _cursor(end)} if end < total else {})
        if self.include_totals:
            return {"total": total, "start": offset, "limit": limit, name: chosen, **more}
        return chosen


def page(http_request: Request) -> Page:
    """The page that the query asks for. Raises BadBody."""
    return validate(Page, dict(http_request.query_params))


def _cursor(offset: int) -> str:
    """Opaque (C§11)."""
    return base64.urlsafe_b64encode(f"offset:{offset}".encode()).decode().rstrip("=")


def _offset(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        kind, _, number = text.partition(":")
        if kind == "offset" and len(number) < 10:
            return max(int(number), 0)
    except (binascii.Error, ValueError):
        pass
    raise BadBody("'from' is not a cursor of ours")
