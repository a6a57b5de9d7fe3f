"""What the tenant log and the errors of an import say of a request."""

from __future__ import annotations

import pytest

from services.auth.masking import MASK, masked


@pytest.mark.parametrize(
    "name", ["password", "Password", "client_secret", "clientSecret", "api-key"]
)
def test_secrets_are_masked_at_any_depth_however_they_are_spelt(name: str) -> None:
    asked = {"a": [{"user_metadata": {name: "hunter2", "plan": "gold"}}]}

    assert {"a": [{"user_metadata": {name: MASK, "plan": "gold"}}]} == masked(asked)


def test_what_is_empty_and_what_only_speaks_of_passwords_stays() -> None:
    asked = {"password": None, "passwordPolicy": "good", "token_endpoint_auth_method": "none"}

    assert asked == masked(asked)
