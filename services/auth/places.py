"""Where each stored secret stands: what it is sealed to, so that it opens nowhere else.

Stored data depends on these texts: they never change. What is sealed at rest has its place here,
or `resealing` would not find it.
"""

from __future__ import annotations


def configuration(connection_id: str, name: str) -> str:
    """A value of a connection's configuration; the worker opens it under the same name."""
    return f"connection/{connection_id}/configuration/{name}"


def signing_key(kid: str) -> str:
    """The private half of a signing key."""
    return f"signing_key/{kid}"


def tokens(user_id: str) -> str:
    """The tokens that a profile carried (C§2.2)."""
    return f"identity/{user_id}/tokens"


def factors(user_id: str) -> str:
    """A user's second factors."""
    return f"user/{user_id}/mfa"


def ticket(digest: bytes) -> str:
    """The profile that a ticket keeps until it is used."""
    return f"ticket/{digest.hex()}"


def mail(place: str) -> str:
    """What a waiting mail is filled with."""
    return f"mail/{place}"


def integrator_key(key_id: str) -> str:
    """An integrator's sealing key; the worker opens it under the same name."""
    return f"integrator_key/{key_id}"


def job(job_id: str) -> str:
    """The users of an import job."""
    return f"job/{job_id}"
