"""The pages behind the links of mails and tickets: a new password, a verified address.

A ticket is what authorises a form here, so that there is no session to forge. Opening a link
changes nothing: mail scanners open links too.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.auth.http.bodies import BadBody, fields
from services.auth.http.pages import message, redirect, render
from services.auth.http.state import State, caller, state
from services.auth.problems import FlowEnded, Problem
from services.auth.tickets import Ticket
from services.auth.verification import EXPIRED
from shared.errors import Unavailable

_LATER = "The user database can't be reached. The link still works: please try again later."


async def reset_page(http_request: Request) -> Response:
    """`GET /u/reset-password`: the form for a new password."""
    app, text = state(http_request), http_request.query_params.get("ticket", "")[:200]
    found = await app.resets.read(text)
    if found is None:
        return _expired()
    return _reset_form(found[0], text)


def _reset_form(ticket: Ticket, text: str, **variables: Any) -> Response:
    return render(
        "reset.html",
        redirects_to=ticket.result_url,
        title="Set a new password",
        ticket=text,
        email=ticket.email,
        **variables,
    )


async def reset(http_request: Request) -> Response:
    """`POST /u/reset-password`: set it."""
    app, form = state(http_request), await _form(http_request)
    text, password = form.get("ticket", "")[:200], form.get("password", "")
    found = await app.resets.read(text)
    if found is None:
        return _expired()
    if password != form.get("again", password):
        return _reset_form(found[0], text, status=400, problem="The two passwords differ.")
    work = app.resets.confirm(text, password, caller(http_request))
    try:
        ticket = await app.complete(work, found[1])
    except FlowEnded as error:
        return _refused(found[0], text, error.problem)
    except Unavailable:
        return _reset_form(found[0], text, status=503, problem=_LATER)
    return await _done(app, ticket, "The new password is set", "You can log in with it now.")


def _refused(ticket: Ticket, text: str, problem: Problem) -> Response:
    """Back to the form, or to the application with the reason (C§1.4)."""
    if problem is EXPIRED:
        return _expired()
    if problem.from_sandbox and ticket.result_url is not None:
        return redirect(ticket.result_url, _result(ticket, problem.text, success=False))
    said = _LATER if problem.from_sandbox and problem.name == "Error" else problem.text
    return _reset_form(ticket, text, status=400, problem=said, rules=problem.rules)


async def verify_page(http_request: Request) -> Response:
    """`GET /u/email-verification`: a button."""
    app, text = state(http_request), http_request.query_params.get("ticket", "")[:200]
    ticket = await app.its.tickets.read(text, "email_verification")
    if ticket is None:
        return _expired()
    return render(
        "verify.html",
        redirects_to=ticket.result_url,
        title="Confirm your e-mail address",
        ticket=text,
        email=ticket.email,
    )


async def verify(http_request: Request) -> Response:
    """`POST /u/email-verification`: the address is theirs."""
    app, form = state(http_request), await _form(http_request)
    text = form.get("ticket", "")[:200]
    ticket = await app.its.tickets.read(text, "email_verification")
    if ticket is None:
        return _expired()
    try:
        connection = await app.its.connections.get(ticket.connection_id)
        work = app.verifications.confirm(text, caller(http_request))
        await app.complete(work, connection)
    except FlowEnded as error:
        if ticket.result_url is not None:
            return redirect(ticket.result_url, _result(ticket, error.problem.text, success=False))
        return message("That did not work", error.problem.text, status=400)
    except Unavailable:
        return message("That did not work", _LATER, status=503)
    return await _done(app, ticket, "The address is confirmed", "You can close this page.")


async def _done(app: State, ticket: Ticket, title: str, text: str) -> Response:
    client_id = ticket.settings.get("client_id")
    client = None if client_id is None else await app.clients.get(client_id)
    if ticket.result_url is not None:
        return redirect(ticket.result_url, _result(ticket, title, success=True))
    link = None if client is None else client.known.initiate_login_uri
    application = None if client is None else client.name
    return message(title, text, application=application, link=link, link_text="To the login")


def _result(ticket: Ticket, text: str, *, success: bool) -> dict[str, str | None]:
    """What a result URL learns (C§1.4)."""
    shown = ticket.settings.get("include_email", True)
    return {
        "email": ticket.email if shown else None,
        "message": text,
        "success": "true" if success else "false",
    }


async def _form(http_request: Request) -> dict[str, str]:
    try:
        values = await fields(http_request)
    except BadBody:
        return {}
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _expired() -> Response:
    return message("This link works no more", EXPIRED.text, status=400)
