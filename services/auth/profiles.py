"""From what a legacy script returned to what we store: pure, typed, no invented ids (C§2).

Identity rules: the connection-scoped legacy id is the key; identifiers are canonicalised (NFKC,
case-folded, trimmed) with the original kept; `email_verified` only when explicitly true.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from shared.errors import ServiceError

MAX_PROFILE_BYTES: Final = 64 * 1024
"""Auth0 warns from 10 KB on (C§2.2); this is where we refuse."""
RESERVED: Final = frozenset(
    [
        "__tenant",
        "_id",
        "blocked",
        "clientID",
        "created_at",
        "email_verified",
        "email",
        "globalClientID",
        "global_client_id",
        "identities",
        "lastIP",
        "lastLogin",
        "loginsCount",
        "metadata",
        "multifactor_last_modified",
        "multifactor",
        "updated_at",
        "user_id",
    ]
)
"""Keys that app_metadata may not hold (C§2.2)."""
_NOT_PROFILE: Final = frozenset(
    [
        "user_id",
        "id",
        "_id",
        "email",
        "email_verified",
        "username",
        "user_metadata",
        "app_metadata",
        "metadata",
        "mfa_factors",
        "identities",
        "blocked",
        "created_at",
        "updated_at",
        "last_login",
        "last_ip",
        "logins_count",
        "password",
    ]
)

Short = Annotated[str, StringConstraints(max_length=300)]


class InvalidProfile(ServiceError):
    """The profile can't be stored."""


class _Legacy(BaseModel):
    """A profile as scripts return it: tolerant where the contract is, strict where it must be."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, coerce_numbers_to_str=True)

    user_id: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    email: Annotated[str, StringConstraints(max_length=254)] | None = None
    username: Annotated[str, StringConstraints(max_length=128)] | None = None
    email_verified: Any = False
    user_metadata: dict[str, Any] = Field(default_factory=dict)
    app_metadata: dict[str, Any] = Field(default_factory=dict)
    mfa_factors: list[dict[str, Any]] | None = Field(default=None, max_length=10)
    blocked: bool | None = None
    name: Short | None = None
    nickname: Annotated[str, StringConstraints(max_length=350)] | None = None

    @field_validator("user_metadata", "app_metadata", mode="before")
    @classmethod
    def _absent_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A normalised profile, ready to be stored."""

    legacy_id: str
    email: str | None
    username: str | None
    email_verified: bool
    root: dict[str, Any] = field(repr=False)
    user_metadata: dict[str, Any] = field(repr=False)
    app_metadata: dict[str, Any] = field(repr=False)
    mfa_factors: list[dict[str, Any]] | None = field(repr=False)
    blocked: bool

    @property
    def user_id(self) -> str:
        """The root id: the prefix, and what the script returned (C§2.1)."""
        return f"auth0|{self.legacy_id}"


def canonical(identifier: str | None) -> str | None:
    """The form in which identifiers are compared."""
    if identifier is None:
        return None
    folded = unicodedata.normalize("NFKC", identifier).casefold()
    # Again, because folding can undo it (Unicode, D145: NFKC_Casefold); twice is stable.
    return unicodedata.normalize("NFKC", folded).casefold().strip() or None


def normalise(value: Any, *, non_persistent: Collection[str] = ()) -> Profile:
    """Validate and normalise. Raises InvalidProfile, which names fields, never values."""
    if not isinstance(value, dict):
        raise InvalidProfile("the profile is not an object")
    if len(json.dumps(value)) > MAX_PROFILE_BYTES:
        raise InvalidProfile(f"the profile is above {MAX_PROFILE_BYTES} bytes")
    try:
        legacy = _Legacy.model_validate({**value, "user_id": _legacy_id(value)})
    except ValidationError as error:
        fields = sorted({str(item["loc"][0]) for item in error.errors()})
        raise InvalidProfile(f"the profile's {', '.join(fields)} can't be stored") from None
    email = legacy.email.strip() if legacy.email and legacy.email.strip() else None
    username = legacy.username.strip() if legacy.username and legacy.username.strip() else None
    if email is None and username is None and "phone_number" not in value:
        raise InvalidProfile("the profile has no email, username or phone_number")
    app_metadata = legacy.app_metadata or _object(value.get("metadata"))  # the old name (C§2.2)
    return Profile(
        legacy_id=legacy.user_id,
        email=email,
        username=username,
        email_verified=legacy.email_verified is True,
        root=_root(value, legacy, email or username or legacy.user_id, non_persistent),
        user_metadata=legacy.user_metadata,
        app_metadata={key: item for key, item in app_metadata.items() if key not in RESERVED},
        mfa_factors=legacy.mfa_factors or None,
        blocked=legacy.blocked is True,
    )


def _legacy_id(value: dict[str, Any]) -> Any:
    """`user_id`, else `id`; numbers and ObjectIDs are text by now (C§2.1, C§3.1)."""
    for name in ("user_id", "id"):
        found = value.get(name)
        if isinstance(found, float) and found.is_integer():
            return str(int(found))  # JavaScript has one kind of number
        if found is not None and not isinstance(found, bool | dict | list):
            return str(found).strip()
    raise InvalidProfile("the profile has neither user_id nor id")


def _root(
    value: dict[str, Any], legacy: _Legacy, fallback: str, non_persistent: Collection[str]
) -> dict[str, Any]:
    root = {
        name: item
        for name, item in value.items()
        if name not in _NOT_PROFILE and name not in non_persistent and item is not None
    }
    root.setdefault("name", legacy.name or fallback)
    root.setdefault("nickname", legacy.nickname or fallback.partition("@")[0])
    root.setdefault("picture", _gravatar(fallback))
    return root


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _gravatar(identifier: str) -> str:
    """What Auth0 generates (C§2.2). MD5 because Gravatar's address is one; nothing rests on it."""
    lowered = identifier.lower()
    digest = hashlib.md5(lowered.encode(), usedforsecurity=False).hexdigest()
    fallback = quote(f"https://cdn.auth0.com/avatars/{lowered[:2]}.png", safe="")
    return f"https://s.gravatar.com/avatar/{digest}?s=480&r=pg&d={fallback}"
