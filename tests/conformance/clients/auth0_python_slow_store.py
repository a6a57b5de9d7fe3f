"""auth0-python with its own time-out of five seconds, against a legacy store that is slow.

`patience`: the store takes longer than that. `prompt`: the connection has a soft deadline below it.
Either way the first login fails, the import goes on, and the second login finds the user here.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import requests
from auth0.authentication import GetToken
from auth0.management import ManagementClient
from auth0_python import (  # type: ignore[import-not-found]  # the program beside this one
    CLIENT,
    DOMAIN,
    LEGACY_USER,
    MANAGER,
    PASSWORD,
    REALM,
    SCOPE,
    call,
    check,
    refused,
)

FIRST_LOGIN = {
    "patience": "login, given up by the SDK after five seconds",
    "prompt": "login, answered 503 before the SDK gives up",
}


def login() -> dict[str, Any]:
    return dict(GetToken(DOMAIN, *CLIENT).login(LEGACY_USER, PASSWORD, SCOPE, REALM))


def patience() -> None:
    began = time.monotonic()
    try:
        login()
    except requests.exceptions.Timeout:
        check(4.5 < time.monotonic() - began < 6.5, "it gave up at another time")
        return
    raise AssertionError("it did not give up")


def prompt() -> None:
    error = refused(login)
    check((error.status_code, error.error_code) == (503, "temporarily_unavailable"), str(error))


def imported() -> None:
    api: Any = ManagementClient(domain=DOMAIN, client_id=MANAGER[0], client_secret=MANAGER[1])
    until = time.monotonic() + 15
    while not api.users.list_users_by_email(email=LEGACY_USER):
        check(time.monotonic() < until, "nobody was imported")
        time.sleep(0.2)


def again() -> None:
    check(login()["id_token"], "no token")


if __name__ == "__main__":
    mode = sys.argv[1]
    where = f", slow store, {mode}"
    call(FIRST_LOGIN[mode], {"patience": patience, "prompt": prompt}[mode], where)
    call("users.list_users_by_email: imported all the same", imported, where)
    call("login, again: answered from the local store", again, where)
