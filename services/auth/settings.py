"""auth's settings: read once in `__main__`, handed on as values."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from services.auth.addresses import AddressLimits, networks
from services.auth.post import Post
from shared.settings import Budget, ServiceSettings, url_of


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
    max_in_flight_per_connection: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="executions of one connection that wait at once; more are answered 503;"
        " default: what its workers can finish in time, as its scripts have lately been",
    )
    own_queues: int = Field(
        default=400,
        ge=0,
        le=10_000,
        description="connections, the oldest first, that get a request queue of their own; the"
        " others share lanes, because queues cost the broker memory",
    )
    worker_grace: Budget = Field(
        default=timedelta(seconds=10),
        ge=timedelta(0),
        description="how long requests wait for a worker where there is none, as while workers"
        " restart; after that they are answered 503 at once",
    )
    trusted_proxies: str = Field(
        default="",
        description="networks of the proxies in front, comma-separated (`10.0.0.0/8`): only they are"
        " believed about callers' addresses (`X-Forwarded-For`); default: nobody is",
    )
    failures_per_address: int = Field(
        default=100, ge=1, description="denied logins that an address may have a day; then 429"
    )
    sign_ups_per_address: int = Field(
        default=50, ge=1, description="sign-ups that an address may try a day; then 429"
    )
    resets_per_address: int = Field(
        default=50,
        ge=1,
        description="mails with a link that an address may ask for a day; then 429",
    )
    unlimited_addresses: str = Field(
        default="127.0.0.0/8,::1/128",
        description="networks whose addresses have no such limits, comma-separated: backends that"
        " log their users in",
    )

    shutdown_delay: Budget = Field(
        default=timedelta(seconds=5),
        ge=timedelta(0),
        description="how long a stopping replica answers on, no longer ready, until balancers have"
        " noticed; the drain follows",
    )
    smtp_url: SecretStr | None = Field(
        default=None,
        description="the mail server, `smtp://user:password@host:587`; `smtp+starttls://`: never"
        " without encryption; `smtps://`: encrypted from the start",
    )
    mail_from: str = Field(
        default="no-reply@localhost",
        pattern=r"^[^@\s<>]+@[^@\s<>]+$",
        description="the sender of mails",
    )
    mail_folder: Path | None = Field(
        default=None, description="where mails are kept as files when there is no server"
    )
    tenant: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9-]{1,64}$",
        description="the tenant's name, as `create` scripts see it; default: the issuer's host",
    )

    @field_validator("smtp_url")
    @classmethod
    def _smtp_url_is_one(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else url_of(value, "smtp", "smtp+starttls", "smtps")

    @field_validator("trusted_proxies", "unlimited_addresses")
    @classmethod
    def _networks_are_some(cls, value: str) -> str:
        try:
            networks(value)
        except ValueError:
            raise ValueError("must be networks, comma-separated: 10.0.0.0/8, 192.0.2.1") from None
        return value

    @field_validator("issuer")
    @classmethod
    def _issuer_is_a_url(cls, value: str) -> str:
        if not value.startswith(("https://", "http://")) or not value.endswith("/"):
            raise ValueError("must be an http(s) URL that ends with a slash")
        return value

    @property
    def post(self) -> Post:
        """Where mails go."""
        server = None if self.smtp_url is None else self.smtp_url.get_secret_value()
        return Post(self.mail_from, server, self.mail_folder)

    @property
    def limits(self) -> AddressLimits:
        """What addresses may do."""
        return AddressLimits(
            failures_per_address=self.failures_per_address,
            sign_ups_per_address=self.sign_ups_per_address,
            resets_per_address=self.resets_per_address,
            exempt=networks(self.unlimited_addresses),
        )

    @property
    def tenant_name(self) -> str:
        """What `create` scripts see as `user.tenant` (C§1.5)."""
        return self.tenant or str(urlsplit(self.issuer).hostname)

    @property
    def audience(self) -> str:
        """The Management API's identifier (C§7.4)."""
        return f"{self.issuer}api/v2/"

    @property
    def replica(self) -> str:
        """Names this process to the broker: the routing key of its replies."""
        return f"auth-{os.getpid()}-{os.urandom(4).hex()}"
