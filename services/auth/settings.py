"""auth's settings: read once in `__main__`, handed on as values."""

from __future__ import annotations

import os

from pydantic import Field, field_validator

from shared.settings import ServiceSettings


class AuthSettings(ServiceSettings):
    """What an operator can choose."""

    issuer: str = Field(
        description="the public URL of this service with a trailing slash; `iss` of every token"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="port to listen on; 0: a free one")
    database_pool: int = Field(default=8, ge=2, le=64, description="Postgres sessions")
    hash_threads: int | None = Field(
        default=None, ge=1, le=64, description="threads that hash passwords; default: cores"
    )
    max_in_flight_per_connection: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="executions of one connection that wait at once; more are answered 503",
    )

    @field_validator("issuer")
    @classmethod
    def _issuer_is_a_url(cls, value: str) -> str:
        if not value.startswith(("https://", "http://")) or not value.endswith("/"):
            raise ValueError("must be an http(s) URL that ends with a slash")
        return value

    @property
    def audience(self) -> str:
        """The Management API's identifier (C§7.4)."""
        return f"{self.issuer}api/v2/"

    @property
    def replica(self) -> str:
        """Names this process to the broker: the routing key of its replies."""
        return f"auth-{os.getpid()}-{os.urandom(4).hex()}"
