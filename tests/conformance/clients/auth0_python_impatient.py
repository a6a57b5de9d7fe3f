"""auth0-python with its own time-out of five seconds, against a legacy store that takes longer."""

from __future__ import annotations

import time

import requests
from auth0.authentication import GetToken
from auth0_python import CLIENT, DOMAIN, LEGACY_USER, PASSWORD, REALM, SCOPE, call, check  # type: ignore[import-not-found]  # the program beside this one

PATIENCE = 4.0


def give_up() -> None:
    began = time.monotonic()
    try:
        GetToken(DOMAIN, *CLIENT).login(LEGACY_USER, PASSWORD, SCOPE, REALM)
    except requests.exceptions.Timeout:
        check(4 < time.monotonic() - began < 6.5, "it gave up at another time")
        return
    raise AssertionError("it did not give up")


def retry() -> None:
    time.sleep(PATIENCE)  # the script is still running, and then the import
    tokens = GetToken(DOMAIN, *CLIENT).login(LEGACY_USER, PASSWORD, SCOPE, REALM)
    check(tokens["id_token"], "no token")


call("login, given up after five seconds", give_up)
call("login, again", retry)
