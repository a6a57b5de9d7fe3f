"""What is written down of a request without its secrets: the tenant log, the errors of an import."""

from __future__ import annotations

from typing import Any, Final

MASK: Final = "*****"
_SECRET: Final = frozenset(
    {"password", "newpassword", "oldpassword", "passwordhash", "custompasswordhash", "hash", "salt"}
    | {"clientsecret", "clientassertion", "secret", "apikey", "privatekey", "totp", "mfafactors"}
    | {"token", "accesstoken", "refreshtoken", "idtoken", "ticket", "code", "codeverifier"}
    | {"configuration", "customscripts"}
)


def masked(value: Any) -> Any:
    """The same shape; what is named like a secret is masked at any depth, however it is spelt."""
    if isinstance(value, dict):
        return {
            name: MASK if item and _plain(name) in _SECRET else masked(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value


def _plain(name: object) -> str:
    return str(name).lower().replace("_", "").replace("-", "")
