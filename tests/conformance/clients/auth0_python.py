"""auth0-python, through its public interface only. One JSON line a call goes to standard output.

A program of its own: the SDK blocks, and reads its certificate authority from the environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from auth0.authentication import Database, GetToken, RevokeToken, Users
from auth0.authentication.exceptions import Auth0Error
from auth0.authentication.token_verifier import AsymmetricSignatureVerifier, TokenVerifier
from auth0.management import ManagementClient
from auth0.management.core.api_error import ApiError

_SAID: Any = {name: value for name, value in os.environ.items() if name.startswith("CONFORMANCE_")}  # noqa: TID251 - a program of its own
DOMAIN = _SAID["CONFORMANCE_DOMAIN"]
RUN = _SAID["CONFORMANCE_RUN"]
PASSWORD = _SAID["CONFORMANCE_PASSWORD"]
PASSWORD_HASH = _SAID["CONFORMANCE_PASSWORD_HASH"]
REALM = _SAID["CONFORMANCE_REALM"]
LEGACY_USER = _SAID["CONFORMANCE_LEGACY_USER"]
CLIENT = (_SAID["CONFORMANCE_CLIENT_ID"], _SAID["CONFORMANCE_CLIENT_SECRET"])
MANAGER = (_SAID["CONFORMANCE_MANAGER_ID"], _SAID["CONFORMANCE_MANAGER_SECRET"])
SCOPE = "openid profile email offline_access"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def stay_here(event: str, arguments: tuple[Any, ...]) -> None:
    """End the program at a connection to another machine, as `loopback.mjs` does."""
    host = {"socket.connect": lambda: arguments[1][0], "socket.getaddrinfo": lambda: arguments[0]}
    if event in host and (asked := host[event]()) not in LOOPBACK:
        sys.stderr.write(f"a connection to {asked}, which is not this machine\n")
        sys.stderr.flush()
        os._exit(70)


sys.addaudithook(stay_here)


def call(name: str, work: Callable[[], Any], where: str = "") -> Any:
    """Run one call and report how it went; `where` tells runs of the same client apart."""
    try:
        result, problem = work(), None
    except Exception as error:  # noqa: BLE001 - whatever it is goes into the table
        result, problem = None, f"{type(error).__name__}: {error}"[:300]
    client = f"auth0-python {version('auth0-python')}{where}"
    line = {"client": client, "call": name, "problem": problem}
    print(json.dumps(line), flush=True)  # noqa: T201
    return result


def check(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def refused(work: Callable[[], Any]) -> Auth0Error:
    try:
        work()
    except Auth0Error as error:
        return error
    raise AssertionError("it was not refused")


def fails(status: int, work: Callable[[], Any]) -> None:
    """The Management API's refusals, as the SDK reads them."""
    try:
        work()
    except ApiError as error:
        seen = (error.status_code, error.body["statusCode"])
        check(seen == (status, status) and error.body["message"], str(error))
        return
    raise AssertionError("it was not refused")


def verified(token: str, audience: str) -> dict[str, Any]:
    """What a token says, by the SDK's own verifier."""
    keys = AsymmetricSignatureVerifier(f"https://{DOMAIN}/.well-known/jwks.json")
    verifier: Any = TokenVerifier(keys, issuer=f"https://{DOMAIN}/", audience=audience)
    return dict(verifier.verify(token))


def authentication() -> None:  # noqa: C901, PLR0915 - a list of calls
    get_token: Any = GetToken(DOMAIN, *CLIENT)
    database = Database(DOMAIN, *CLIENT)
    new_user = f"{RUN}-py@example.com"

    def login() -> dict[str, Any]:
        return dict(get_token.login(LEGACY_USER, PASSWORD, SCOPE, REALM))

    def wrong_password() -> None:
        error = refused(lambda: get_token.login(LEGACY_USER, "wrong", SCOPE, REALM))
        check((error.status_code, error.error_code) == (403, "invalid_grant"), str(error))
        check(error.message == "Wrong email or password.", error.message)

    def verify() -> None:
        claims = verified(tokens["id_token"], CLIENT[0])
        check(claims["email"] == LEGACY_USER, "another user")

    def userinfo() -> None:
        who = Users(DOMAIN).userinfo(tokens["access_token"])
        check(who["email"] == LEGACY_USER and who["sub"].startswith("auth0|"), str(who))

    def signup() -> None:
        made = database.signup(
            new_user, PASSWORD, REALM, given_name="Ada", user_metadata={"plan": "silver"}
        )
        check(made["email"] == new_user and made["_id"], str(made))
        check(made["user_metadata"] == {"plan": "silver"}, str(made))

    def signup_of_somebody_known() -> None:
        error = refused(lambda: database.signup(new_user, PASSWORD, REALM))
        check((error.status_code, error.error_code) == (400, "invalid_signup"), str(error))

    def weak_password() -> None:
        error = refused(lambda: database.signup(f"x{new_user}", "weak", REALM))
        check((error.status_code, error.error_code) == (400, "invalid_password"), str(error))

    def change_password() -> None:
        said = database.change_password(new_user, REALM)
        check(said == "We've just sent you an email to reset your password.", said)

    def refresh() -> dict[str, Any]:
        again = dict(get_token.refresh_token(tokens["refresh_token"]))
        check(again["access_token"] != tokens["access_token"], "the same token")
        return again

    def revoke() -> None:
        RevokeToken(DOMAIN, *CLIENT).revoke_refresh_token(renewed["refresh_token"])
        error = refused(lambda: get_token.refresh_token(renewed["refresh_token"]))
        check(error.error_code == "invalid_grant", str(error))

    tokens = call("login, password-realm (imports the user)", login)
    call("login, wrong password", wrong_password)
    call("TokenVerifier.verify of the id_token", verify)
    call("userinfo", userinfo)
    call("signup", signup)
    call("signup, user exists", signup_of_somebody_known)
    call("signup, weak password", weak_password)
    call("change_password", change_password)
    renewed = call("refresh_token", refresh)
    call("revoke_refresh_token", revoke)
    call(
        "client_credentials",
        lambda: GetToken(DOMAIN, *MANAGER).client_credentials(f"https://{DOMAIN}/api/v2/"),
    )


def management() -> None:  # noqa: C901, PLR0915 - a list of calls
    api: Any = ManagementClient(domain=DOMAIN, client_id=MANAGER[0], client_secret=MANAGER[1])
    name, email = f"{RUN}-py", f"{RUN}-managed@example.com"
    options = {"passwordPolicy": "good", "brute_force_protection": True}
    salted = {
        "algorithm": "sha256",
        "hash": {
            "value": hashlib.sha256(f"salt{PASSWORD}".encode()).hexdigest(),
            "encoding": "hex",
        },
        "salt": {"value": "salt", "encoding": "utf8", "position": "prefix"},
    }
    bulk: list[dict[str, Any]] = [
        {"email": f"{RUN}-bcrypt@example.com", "password_hash": PASSWORD_HASH},
        {"email": f"{RUN}-sha256@example.com", "custom_password_hash": salted},
    ]

    def paged_connections() -> None:
        names = [one.name for one in api.connections.list(take=1)]
        check({REALM, name} <= set(names), str(names))

    def update_connection() -> None:
        api.connections.update(connection.id, options={**options, "import_mode": False})
        seen = api.connections.get(connection.id)
        check(seen.options["import_mode"] is False, str(seen))

    def paged_users() -> None:
        found = {one.user_id for one in api.users.list(per_page=1, q=f"email:{RUN}*")}
        check(user.user_id in found and len(found) > 1, str(found))

    def search() -> None:
        query = f'email:"{email}" AND user_metadata.plan:silver'
        found = [one.user_id for one in api.users.list(q=query, search_engine="v3")]
        check(found == [user.user_id], str(found))

    def by_email() -> None:
        found = api.users.list_users_by_email(email=email)
        check([one.user_id for one in found] == [user.user_id], str(found))

    def update_user() -> None:
        changed = api.users.update(user.user_id, user_metadata={"plan": "gold"}, blocked=False)
        check(changed.user_metadata == {"plan": "gold"}, str(changed))

    def import_users() -> None:
        users = json.dumps([*bulk, {"email": email}]).encode()
        job = api.jobs.users_imports.create(
            users=("users.json", users, "application/json"), connection_id=realm.id
        )
        seen, tries = api.jobs.get(job.id), 0
        while seen.status != "completed" and tries < 50:
            time.sleep(0.2)
            seen, tries = api.jobs.get(job.id), tries + 1
        check(seen.status == "completed", str(seen))
        errors = api.jobs.errors.get(job.id)
        check(errors[0].errors[0].code == "DUPLICATED_USER", str(errors))

    def login_of_imported_users() -> None:
        for one in bulk:
            tokens = GetToken(DOMAIN, *CLIENT).login(one["email"], PASSWORD, SCOPE, REALM)
            check(tokens["id_token"], f"no token for {one['email']}")

    def logs() -> None:
        pager = api.logs.list(per_page=2, sort="date:-1")
        line = next(iter(pager))
        check(api.logs.get(line.log_id).type == line.type, str(line))

    def clients() -> None:
        made = api.clients.create(name=f"{RUN} client", app_type="regular_web")
        api.clients.update(made.client_id, callbacks=["https://app.example/callback"])
        check(api.clients.get(made.client_id).callbacks, "no callbacks")
        check(made.client_id in {one.client_id for one in api.clients.list()}, "not listed")
        api.clients.delete(made.client_id)

    def enabled_clients() -> None:
        api.connections.clients.update(
            connection.id, request=[{"client_id": CLIENT[0], "status": True}]
        )
        found = [one.client_id for one in api.connections.clients.get(connection.id)]
        check(found == [CLIENT[0]], str(found))

    def same_again() -> None:
        fails(409, lambda: api.users.create(connection=REALM, email=email, password=PASSWORD))

    def weak_password() -> None:
        fails(400, lambda: api.users.create(connection=REALM, email=f"x{email}", password="weak"))

    def blocks() -> None:
        check(not api.user_blocks.list(user.user_id).blocked_for, "blocked")
        api.user_blocks.delete(user.user_id)

    def audience() -> None:
        def login() -> dict[str, Any]:
            return dict(
                GetToken(DOMAIN, *CLIENT).login(LEGACY_USER, PASSWORD, SCOPE, REALM, identifier)
            )

        identifier = f"https://{RUN}.example/api"
        check(refused(login).error_code == "invalid_request", "before it was registered")
        server = api.resource_servers.create(identifier=identifier, name=f"{RUN} API")
        claims = verified(login()["access_token"], identifier)
        check(claims["azp"] == CLIENT[0], str(claims))
        api.resource_servers.delete(server.id)

    def delete_by_email() -> None:
        api.connections.users.delete_by_email(realm.id, email=bulk[0]["email"])
        check(not api.users.list_users_by_email(email=bulk[0]["email"]), "still there")

    def tickets() -> None:
        link = api.tickets.change_password(user_id=user.user_id, ttl_sec=60).ticket
        check(link.startswith(f"https://{DOMAIN}/u/reset-password?ticket="), link)
        link = api.tickets.verify_email(user_id=user.user_id).ticket
        check(link.startswith(f"https://{DOMAIN}/u/email-verification?ticket="), link)

    def blocks_by_name() -> None:
        check(api.user_blocks.list_by_identifier(identifier=email).blocked_for == [], "blocked")
        api.user_blocks.delete_by_identifier(identifier=email)

    def address_blocks() -> None:
        fails(404, lambda: api.anomaly.blocks.check_ip("192.0.2.1"))
        api.anomaly.blocks.unblock_ip("192.0.2.1")

    def verification_job() -> None:
        job = api.jobs.verification_email.create(user_id=user.user_id)
        check(job.type == "verification_email" and job.status == "pending", str(job))

    realm = next(one for one in api.connections.list(name=REALM))
    connection = call(
        "connections.create",
        lambda: api.connections.create(name=name, strategy="auth0", options=options),
    )
    call("connections.list, by checkpoint", paged_connections)
    call("connections.update, connections.get", update_connection)
    call("connections.clients.update, connections.clients.get", enabled_clients)
    user = call(
        "users.create",
        lambda: api.users.create(
            connection=REALM, email=email, password=PASSWORD, user_metadata={"plan": "silver"}
        ),
    )
    call("users.create, user exists: 409", same_again)
    call("users.create, weak password: 400", weak_password)
    call("users.get", lambda: check(api.users.get(user.user_id).email == email, "another"))
    call("users.get, unknown: 404", lambda: fails(404, lambda: api.users.get("auth0|nobody")))
    call("users.list, all pages", paged_users)
    call("users.list with q", search)
    call("users.list_users_by_email", by_email)
    call("users.update", update_user)
    call("users.logs.list", lambda: list(api.users.logs.list(user.user_id)))
    call("user_blocks.list, user_blocks.delete", blocks)
    call("user_blocks.list_by_identifier, user_blocks.delete_by_identifier", blocks_by_name)
    call("anomaly.blocks.check_ip: 404, anomaly.blocks.unblock_ip", address_blocks)
    call("tickets.change_password, tickets.verify_email", tickets)
    call("jobs.verification_email.create", verification_job)
    call("jobs.users_imports.create, jobs.get, jobs.errors.get", import_users)
    call(
        "login of users imported with password_hash, custom_password_hash", login_of_imported_users
    )
    call("logs.list, logs.get", logs)
    call("clients: create, update, get, list, delete", clients)
    call("tenants.settings.get", api.tenants.settings.get)
    call(
        "resource_servers: create, login with its audience, TokenVerifier.verify, delete", audience
    )
    call("connections.users.delete_by_email", delete_by_email)
    call("users.delete", lambda: api.users.delete(user.user_id))
    call("connections.delete", lambda: api.connections.delete(connection.id))


if __name__ == "__main__":
    authentication()
    management()
