"""What can go wrong, by what the caller should do next.

Three questions make the taxonomy: could the same call succeed later, never, or only after a
person acts? A script's failure is none of these: it is data (`shared.contracts.Outcome`).
Messages name ids, never passwords, script sources or profiles.
"""

from __future__ import annotations

from datetime import timedelta


class ServiceError(Exception):
    """Something this system promised could not be done."""

    def __init__(self, message: str | None = None) -> None:
        """Use the class docstring as the message when none is given."""
        super().__init__(message or " ".join((self.__doc__ or "").split()))


class Unavailable(ServiceError):
    """A dependency is down. The same call may succeed later."""

    def __init__(self, message: str | None = None, *, retry_after: timedelta | None = None) -> None:
        """`retry_after`: when it may be worth trying again, where that is known."""
        super().__init__(message)
        self.retry_after = retry_after


class SchemaMissing(Unavailable):
    """The database lacks what this release needs: migrations have to be run."""


class Unroutable(Unavailable):
    """The broker had no queue for a message."""


class Rejected(Unavailable):
    """The broker refused a message, because its queue is full."""


class Unconfirmed(Unavailable):
    """The broker did not confirm a message in time: it may or may not have it."""


class Undecodable(ServiceError):
    """A message can't be read, and never will be."""


class Unsealable(Undecodable):
    """Sealed data does not open: wrong key, or not made for this execution."""


class Misconfigured(ServiceError):
    """A person has to change the configuration before this can work."""
