"""From what a legacy script returned to what we store: pure, typed, no invented ids (C§2).

Identity rules: the connection-scoped legacy id is the key; identifiers are canonicalised (NFKC,
case-folded, trimmed) with the original kept; `email_verified` only when explicitly true.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from services.auth.storable import storable_value
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
        "access_token",
        "refresh_token",
    ]
)

Short = Annotated[str, StringConstraints(max_length=300)]


MFA_NOT_IMPORTED: Final = "Unable to import MFA factors."


class _Totp(BaseModel):
    secret: Annotated[str, StringConstraints(pattern=r"^[A-Z2-7]+$", max_length=256)]


class _Phone(BaseModel):
    value: Annotated[str, StringConstraints(pattern=r"^\+[0-9]{1,15}$")]


class _Email(BaseModel):
    value: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]


class _Factor(BaseModel):
    """One second factor: exactly one of the three kinds (C§2.2)."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    totp: _Totp | None = None
    phone: _Phone | None = None
    email: _Email | None = None

    @model_validator(mode="after")
    def _is_one(self) -> _Factor:
        if len(self.model_fields_set) != 1:
            raise ValueError("a factor has exactly one kind")
        return self


_FACTORS: Final = TypeAdapter(Annotated[list[_Factor], Field(max_length=10)])


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
    mfa_factors: Any = None
    access_token: Annotated[str, StringConstraints(max_length=8192)] | None = None
    refresh_token: Annotated[str, StringConstraints(max_length=8192)] | None = None
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
    mfa_factors: list[dict[str, Any]] | None = field(default=None, repr=False)
    blocked: bool = False
    transient: dict[str, Any] = field(default_factory=dict, repr=False)
    """Root attributes for this login only: `non_persistent_attrs` (C§2.2)."""
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    """What the legacy store's own identity provider issued; kept sealed (C§2.2)."""
    warnings: tuple[str, ...] = ()
    """What was left out, for the tenant log."""

    @property
    def user_id(self) -> str:
        """The root id: the prefix, and what the script returned (C§2.1)."""
        return f"auth0|{self.legacy_id}"

    def lowered(self) -> Profile:
        """As a store of our own keeps it (C§2.2)."""
        return replace(
            self,
            email=self.email and self.email.lower(),
            username=self.username and self.username.lower(),
        )


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
    if not storable_value(value):
        raise InvalidProfile("the profile holds NUL or half of a surrogate pair")
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
    root = _root(value, legacy, email or username or legacy.user_id)
    mfa_factors, warnings = _mfa_factors(legacy.mfa_factors)
    return Profile(
        legacy_id=legacy.user_id,
        email=email,
        username=username,
        email_verified=legacy.email_verified is True,
        root={name: item for name, item in root.items() if name not in non_persistent},
        user_metadata=legacy.user_metadata,
        app_metadata={key: item for key, item in app_metadata.items() if key not in RESERVED},
        mfa_factors=mfa_factors,
        blocked=legacy.blocked is True,
        transient={name: item for name, item in root.items() if name in non_persistent},
        tokens={
            name: text
            for name in ("access_token", "refresh_token")
            if (text := getattr(legacy, name)) is not None
        },
        warnings=warnings,
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


def _root(value: dict[str, Any], legacy: _Legacy, fallback: str) -> dict[str, Any]:
    root = {
        name: item for name, item in value.items() if name not in _NOT_PROFILE and item is not None
    }
    root.setdefault("name", legacy.name or fallback)
    root.setdefault("nickname", legacy.nickname or fallback.partition("@")[0])
    root.setdefault("picture", gravatar(fallback))
    return root


def _mfa_factors(given: Any) -> tuple[list[dict[str, Any]] | None, tuple[str, ...]]:
    """The factors, or none and a warning: a broken one is logged and the login goes on (C§2.2)."""
    if not given:
        return None, ()
    try:
        factors = _FACTORS.validate_python(given)
    except ValidationError:
        return None, (MFA_NOT_IMPORTED,)
    return [factor.model_dump(exclude_none=True) for factor in factors], ()


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def gravatar(identifier: str) -> str:
    """What Auth0 generates (C§2.2). MD5 because Gravatar's address is one; nothing rests on it."""
    lowered = identifier.lower()
    digest = hashlib.md5(lowered.encode(), usedforsecurity=False).hexdigest()
    fallback = quote(f"https://cdn.auth0.com/avatars/{lowered[:2]}.png", safe="")
    return f"https://s.gravatar.com/avatar/{digest}?s=480&r=pg&d={fallback}"
