"""A connection's options: the ones we act upon, their limits, and what Auth0 adds to each."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from services.auth.password_policy import PasswordOptions
from shared.contracts import Action
from shared.egress import MAX_LISTED, Destination

MAX_SCRIPT_BYTES: Final = 100 * 1024  # C§4.2
MAX_SCRIPT_SECONDS: Final = 20
MAX_CONFIGURATION_VALUES: Final = 100
STORED_ONLY: Final = {"change_username", "change_phone_number"}  # C§1.1: accepted, never called
DEFAULTS: Final[dict[str, Any]] = {
    "mfa": {"active": True, "return_enroll_settings": True},
    "passwordPolicy": "good",
    "strategy_version": 2,
    "brute_force_protection": True,
}
ALWAYS: Final[dict[str, Any]] = {
    "authentication_methods": {
        "password": {"enabled": True, "api_behavior": "required", "signup_behavior": "allow"},
        "passkey": {"enabled": False},
        "email_otp": {"enabled": False},
        "phone_otp": {"enabled": False},
    },
    "passkey_options": {
        "challenge_ui": "both",
        "progressive_enrollment_enabled": True,
        "local_enrollment_enabled": True,
    },
}


class UsernameLength(BaseModel):
    """`validation.username`."""

    min: int = Field(default=1, ge=1, le=128)
    max: int = Field(default=15, ge=1, le=128)


class Validation(BaseModel):
    """`validation`."""

    username: UsernameLength | None = None


class Options(PasswordOptions):
    """The options we act upon; every other one is kept as it came."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    enabledDatabaseCustomization: bool = False  # noqa: N815 - Auth0's spelling
    import_mode: bool = False
    enable_script_context: bool = False
    disable_signup: bool = False
    requires_username: bool = False
    customScripts: dict[str, str] = Field(default_factory=dict)  # noqa: N815
    configuration: dict[str, str] = Field(default_factory=dict, max_length=MAX_CONFIGURATION_VALUES)
    set_user_root_attributes: Literal["on_each_login", "on_first_login", "never_on_login"] = (
        "on_each_login"
    )
    non_persistent_attrs: list[str] = Field(default_factory=list)
    script_timeout_seconds: float = Field(default=MAX_SCRIPT_SECONDS, gt=0, le=MAX_SCRIPT_SECONDS)
    worker_concurrency: int = Field(default=4, ge=1, le=256)
    failures_as_503: bool = False
    show_script_messages: bool = False
    ignore_mfa_factors: bool = False
    validation: Validation | None = None
    soft_deadline_seconds: float | None = Field(default=None, gt=0, le=20)
    """Answer 503 after so long, while the login goes on: below an SDK's own time-out (C§8)."""
    reimport_deleted_users: bool = True
    """As Auth0 does (C§1.3); off: who was deleted here stays away."""
    magic_globals: bool = False
    brute_force_protection: bool = True
    legacy_lockout_attempts: int | None = Field(default=5, ge=2, le=1000)
    """What the legacy store locks a user out after (ASP.NET membership's default); none: never."""
    legacy_lockout_seconds: float = Field(default=600, gt=0, le=2_592_000)
    """How long a user must be quiet there until that count begins anew."""
    legacy_calls_per_second: float = Field(default=100, gt=0, le=100_000)
    negative_cache_seconds: float = Field(default=30, ge=0, le=60)
    egress_allow: list[str] | None = Field(default=None, max_length=MAX_LISTED)
    """`host:port` that the scripts may connect to; without it, what the worker's operator allows."""

    @model_validator(mode="before")
    @classmethod
    def _bare_values_are_configuration(cls, options: Any) -> Any:
        """`bareConfiguration` adds values to what is there: scripts renew a token of theirs so."""
        if not isinstance(options, dict) or "bareConfiguration" not in options:
            return options
        bare, known = options["bareConfiguration"], options.get("configuration") or {}
        if not isinstance(bare, dict) or not isinstance(known, dict):
            raise ValueError("bareConfiguration is an object of texts, like configuration")  # noqa: TRY004 - pydantic's
        rest = {name: value for name, value in options.items() if name != "bareConfiguration"}
        return rest | {"configuration": known | bare}

    @field_validator("egress_allow")
    @classmethod
    def _destinations_are_readable(cls, listed: list[str] | None) -> list[str] | None:
        for each in listed or ():
            Destination.parse(each)
        return listed

    @field_validator("customScripts")
    @classmethod
    def _scripts_are_known(cls, scripts: dict[str, str]) -> dict[str, str]:
        for key, text in scripts.items():
            if key not in {str(action) for action in Action} | STORED_ONLY:
                raise ValueError(f"there is no action script {key[:40]!r}")
            if len(text.encode()) > MAX_SCRIPT_BYTES:
                raise ValueError(f"the {key} script is above {MAX_SCRIPT_BYTES} bytes")
        return scripts


def username_length(known: Options) -> tuple[int, int]:
    length = known.validation.username if known.validation else None
    length = length or UsernameLength()
    return length.min, length.max
