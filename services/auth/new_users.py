"""What an application or an administrator says of a user to be, or to be changed: validated once.

The fields and their limits: C§2.2. Names that a user may have are Auth0's.
"""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from services.auth.connections import Connection
from services.auth.problems import SIGNUP_DISABLED, FlowEnded, Problem
from services.auth.profiles import RESERVED, Profile, gravatar

ROOT: Final = ("name", "nickname", "given_name", "family_name", "picture", "phone_number")
_USERNAME: Final = re.compile(r"^[A-Za-z0-9@^$.!`\-#+'~_]+$")
_ID: Final = re.compile(r"^[^\s\0]{1,255}$")
_SIGNUP_FIELDS: Final = 10
_SIGNUP_VALUE: Final = 500
_SIGNUP_NAME: Final = 100

Email = Annotated[
    str,
    StringConstraints(pattern=r"^[^@\s\x00]{1,64}@[^@\s\x00]+$", max_length=254),
]
Password = Annotated[str, Field(min_length=1, max_length=1024)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=150)]


class UserFields(BaseModel):
    """What can be said of a user, in every surface; what is not said is not set."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    email: Email | None = None
    username: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    phone_number: Annotated[str, StringConstraints(pattern=r"^\+[0-9]{1,15}$")] | None = None
    password: Password | None = Field(default=None, repr=False)
    name: Text | None = None
    nickname: Annotated[str, StringConstraints(min_length=1, max_length=350)] | None = None
    given_name: Text | None = None
    family_name: Text | None = None
    picture: Annotated[str, StringConstraints(pattern=r"^https?://", max_length=2048)] | None = None
    user_metadata: dict[str, Any] = Field(default_factory=dict)
    app_metadata: dict[str, Any] = Field(default_factory=dict)
    email_verified: bool | None = None
    phone_verified: bool | None = None
    blocked: bool | None = None
    verify_email: bool | None = None

    @field_validator("user_metadata", "app_metadata")
    @classmethod
    def _names_are_plain(cls, values: dict[str, Any]) -> dict[str, Any]:
        if any("." in name or name.startswith("$") for name in values):
            raise ValueError("metadata names must hold no dot and begin with no $")
        return values

    @field_validator("app_metadata")
    @classmethod
    def _names_are_free(cls, values: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(RESERVED & values.keys()):
            raise ValueError(f"app_metadata may not hold {', '.join(taken)}")
        return values

    def root(self) -> dict[str, Any]:
        """The root attributes that were given."""
        return {
            name: value for name in ROOT if (value := getattr(self, name)) not in (None, "")
        } | ({} if self.phone_verified is None else {"phone_verified": self.phone_verified})

    def personal(self) -> list[str | None]:
        """What a password may not contain."""
        return [self.email, self.username, self.name, self.nickname]


class NewUser(UserFields):
    """A user to be."""

    user_id: str | None = None

    @field_validator("user_id")
    @classmethod
    def _id_is_one(cls, value: str | None) -> str | None:
        if value is not None and not _ID.match(value):
            raise ValueError("must be 1 to 255 characters without spaces")
        return value

    def profile(self) -> Profile:
        """A profile of our own making: the user lives here from the beginning."""
        email = None if self.email is None else self.email.lower()
        username = None if self.username is None else self.username.lower()
        label = email or username or self.phone_number or ""
        root = {"name": label, "nickname": label.partition("@")[0], "picture": gravatar(label)}
        return Profile(
            legacy_id=self.user_id or secrets.token_hex(12),
            email=email,
            username=username,
            email_verified=self.email_verified is True,
            root=root | self.root(),
            user_metadata=self.user_metadata,
            app_metadata=self.app_metadata,
            blocked=self.blocked is True,
        )

    @property
    def identifier(self) -> str:
        """What scripts look the user up by (C§1.1)."""
        return self.email or self.username or self.phone_number or ""


def check_identifiers(connection: Connection, user: NewUser) -> None:
    """Raise FlowEnded unless the connection takes these identifiers (C§2.2)."""
    if connection.requires_username and user.username is None:
        raise FlowEnded(_missing("username"))
    if not user.identifier:
        raise FlowEnded(_missing("email"))
    if user.username is not None:
        check_username(connection, user.username)


def check_username(connection: Connection, username: str) -> None:
    """Raise FlowEnded unless it is a username."""
    least, most = connection.username_length
    if not least <= len(username) <= most or not _USERNAME.match(username):
        text = f"username must have {least} to {most} of: letters, digits, @^$.!`-#+'~_"
        raise FlowEnded(Problem(code="invalid_username", description=text))


def check_sign_up(connection: Connection, user: NewUser) -> None:
    """Raise FlowEnded unless people may sign up, with this metadata (C§2.2)."""
    if connection.disable_signup:
        raise FlowEnded(SIGNUP_DISABLED)
    metadata = user.user_metadata
    fits = len(metadata) <= _SIGNUP_FIELDS and all(
        isinstance(value, str) and len(value) <= _SIGNUP_VALUE and len(name) <= _SIGNUP_NAME
        for name, value in metadata.items()
    )
    if not fits:
        text = "user_metadata takes at most 10 texts of 500 characters, with names of 100"
        raise FlowEnded(Problem(code="invalid_body", description=text))


def _missing(name: str) -> Problem:
    text = f"missing {name} parameter"
    return Problem(code=f"invalid_{name}", description=text)
