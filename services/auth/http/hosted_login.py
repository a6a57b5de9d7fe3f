"""The hosted login that a browser comes to from `/authorize`: its forms, and what comes back."""

from __future__ import annotations

from functools import wraps
from typing import Any, Final

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from services.auth.clients import Client
from services.auth.connections import Connection
from services.auth.guard import Limited
from services.auth.http.authorize import logged_in
from services.auth.http.bodies import BadBody, fields
from services.auth.http.operations import Endpoint
from services.auth.http.pages import (
    BadState,
    Transaction,
    check_csrf,
    csrf,
    message,
    render,
    unseal,
)
from services.auth.http.state import State, caller, state
from services.auth.login import LoginRequest, Refused
from services.auth.new_users import NewUser
from services.auth.problems import INVALID_SIGNUP, FlowEnded
from services.auth.users import User
from shared.errors import Unavailable

_TRY_LATER: Final = "Something went wrong, please try again later."
_TOO_OFTEN: Final = "That was tried too often from here. Try again later."
_EXPIRED: Final = "This page is too old, or was opened in another browser. Go back to the application and try again."


def within_a_login(endpoint: Endpoint) -> Endpoint:
    """A page of a login that began at `/authorize`, in this browser, not too long ago."""

    @wraps(endpoint)
    async def paged(http_request: Request) -> Response:
        try:
            return await endpoint(http_request)
        except (BadState, BadBody):
            return message("This page is too old", _EXPIRED, status=400)
        except Limited:
            return message("Too often", _TOO_OFTEN, status=429)

    return paged


@within_a_login
async def login_page(http_request: Request) -> Response:
    """`GET /u/login`: the login form."""
    app, text = state(http_request), http_request.query_params.get("state")
    transaction = unseal(app, http_request, text)
    return await _login_form(app, http_request, transaction, text or "")


async def _login_form(
    app: State, http_request: Request, transaction: Transaction, text: str, **variables: Any
) -> Response:
    connection = await app.its.connections.by_name(transaction.connection)
    shown: dict[str, Any] = {
        "username": transaction.login_hint,
        "signup": connection is not None and not connection.disable_signup,
        "usernames": connection is not None and connection.requires_username,
    } | variables
    return render(
        "login.html",
        redirects_to=transaction.asked.redirect_uri,
        title="Log in",
        application=transaction.application,
        state=text,
        csrf=csrf(app, http_request, text),
        **shown,
    )


@within_a_login
async def log_in(http_request: Request) -> Response:
    """`POST /u/login`: the form came back."""
    app = state(http_request)
    form, transaction, client, connection = await _form(app, http_request)
    username, password = form.get("username", "")[:320], form.get("password", "")[:1024]
    if not username or not password:
        problem = "Both fields are needed."
        return await _login_form(
            app, http_request, transaction, form["state"], username=username, problem=problem
        )
    login = LoginRequest(
        connection=connection,
        identifier=username,
        password=password,
        caller=caller(http_request, client),
    )
    answer = await app.log_in(login)
    if isinstance(answer, Refused):
        refusal = answer.refusal
        said = refusal.error in {"invalid_grant", "unauthorized"} or refusal.result == "denied"
        said = said or refusal.status == 429
        return await _login_form(
            app,
            http_request,
            transaction,
            form["state"],
            status=refusal.status,
            username=username,
            problem=refusal.description if said else _TRY_LATER,
        )
    if not answer.user.stored:
        text = "Users of this connection are not kept, so they can't log in here."
        return message("This login can't go on", text, status=400)
    return await _logged_in(app, transaction, answer.user)


@within_a_login
async def signup_page(http_request: Request) -> Response:
    """`GET /u/signup`: the sign-up form."""
    app, text = state(http_request), http_request.query_params.get("state")
    transaction = unseal(app, http_request, text)
    connection = await app.its.connections.by_name(transaction.connection)
    if connection is None or connection.disable_signup:
        return message("Sign up", "Public sign up is disabled.", status=403)
    return _signup_form(app, http_request, transaction, connection, text or "")


def _signup_form(
    app: State,
    http_request: Request,
    transaction: Transaction,
    connection: Connection,
    text: str,
    **variables: Any,
) -> Response:
    shown = {"email": transaction.login_hint, "username": ""} | variables
    return render(
        "signup.html",
        redirects_to=transaction.asked.redirect_uri,
        title="Sign up",
        application=transaction.application,
        state=text,
        csrf=csrf(app, http_request, text),
        usernames=connection.requires_username,
        **shown,
    )


@within_a_login
async def sign_up(http_request: Request) -> Response:
    """`POST /u/signup`: create the account, and go on as logged in."""
    app = state(http_request)
    form, transaction, client, connection = await _form(app, http_request)
    names = {name: form[name] for name in ("email", "username", "password") if form.get(name)}
    shown: dict[str, Any] = {"email": form.get("email", ""), "username": form.get("username", "")}
    try:
        user = NewUser.model_validate(names)
        work = app.signups.sign_up(connection, user, caller(http_request, client))
        created = await app.complete(work, connection)
    except ValidationError:
        shown |= {"problem": "That is no e-mail address or username."}
    except FlowEnded as error:
        problem = error.problem
        told = (
            "That is not possible with this address. Do you have an account already?"
            if problem is INVALID_SIGNUP
            else problem.text
        )
        shown |= {"problem": told, "rules": problem.rules}
    except Unavailable:
        shown |= {"problem": _TRY_LATER}
    else:
        return await _logged_in(app, transaction, created)
    return _signup_form(
        app, http_request, transaction, connection, form["state"], status=400, **shown
    )


@within_a_login
async def forgot_page(http_request: Request) -> Response:
    """`GET /u/forgot-password`: whose password is it?"""
    app, text = state(http_request), http_request.query_params.get("state")
    transaction = unseal(app, http_request, text)
    return render(
        "forgot.html",
        title="Forgot the password?",
        application=transaction.application,
        state=text,
        csrf=csrf(app, http_request, text or ""),
    )


@within_a_login
async def forgot(http_request: Request) -> Response:
    """`POST /u/forgot-password`: everybody is told the same."""
    app = state(http_request)
    form, transaction, client, connection = await _form(app, http_request)
    email = form.get("email", "")[:254]
    if email:
        who = caller(http_request, client)
        await app.resets.admit(connection, email, who)
        app.after_the_answer(app.resets.forgot(connection, email, who))
    return message(
        "Look into your mail",
        "If the address belongs to an account, a link is on its way to it.",
        application=transaction.application,
        link=f"/u/login?state={form['state']}",
        link_text="Back to the login",
    )


async def _form(
    app: State, http_request: Request
) -> tuple[dict[str, str], Transaction, Client, Connection]:
    """A form of ours, and what it belongs to. Raises BadState, BadBody."""
    values = await fields(http_request)
    form = {name: value for name, value in values.items() if isinstance(value, str)}
    text = form.setdefault("state", "")
    transaction = unseal(app, http_request, text)
    check_csrf(app, http_request, text, form.get("csrf", ""))
    client = await app.clients.get(transaction.asked.client_id)
    connection = await app.its.connections.by_name(transaction.connection)
    if client is None or connection is None:
        raise BadState
    if client.client_id not in connection.enabled_clients:
        raise BadState
    return form, transaction, client, connection


async def _logged_in(app: State, transaction: Transaction, user: User) -> Response:
    return await logged_in(app, transaction.asked, transaction.oauth_state, user)
