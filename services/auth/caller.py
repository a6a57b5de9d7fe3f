"""Who asks: what every flow hands on to scripts, messages and the tenant log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from shared.contracts import ClientFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The application that asks, and from where."""

    client_id: str | None = None
    ip: str | None = None
    user_agent: str | None = field(default=None, repr=False)
    traceparent: str | None = None

    def for_client(self, client_id: str | None) -> Caller:
        """The same, once the client is known."""
        return replace(self, client_id=client_id)

    @property
    def facts(self) -> ClientFacts:
        """What of it scripts may see, in `context`."""
        return ClientFacts(ip=self.ip)


NOBODY = Caller()
"""Work that no request asked for: a mail that is retried, a job that goes on."""
