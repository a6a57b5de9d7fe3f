"""How the hosted pages are answered: templates, headers, cookies, and the sealed state of a login.

No script, no framework: the pages work without JavaScript, and the policy lets none run.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.auth.authorizations import Asked
from services.auth.http.state import State
from shared.contracts import Sealed
from shared.errors import Unsealable

SESSION_COOKIE: Final = "trickle_session"
BROWSER_COOKIE: Final = "trickle_login"
STATE_SECONDS: Final = 3600
MAX_STATE: Final = 12_000
_PLACE: Final = "hosted_login"
_TEMPLATES: Final = Environment(
    loader=PackageLoader("services.auth", "templates/pages"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_BLANK: Final[dict[str, Any]] = {
    "problem": None,
    "rules": None,
    "application": None,
    "text": None,
    "link": None,
    "link_text": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One login at the hosted pages; travels sealed, in the browser."""

    asked: Asked
    connection: str
    application: str
    oauth_state: str | None = None
    login_hint: str = ""
    expires: float = 0.0
    browser: str = field(default="", repr=False)
    """The hash of the browser's cookie: a state works where it was made, and nowhere else."""


class BadState(Exception):
    """The state is not ours, of another browser, or over."""


async def style(_: Request) -> Response:
    """`GET /u/style.css`: how the pages look."""
    text = files("services.auth").joinpath("templates/pages/style.css").read_text()
    headers = {"cache-control": "public, max-age=3600"}
    return Response(text, media_type="text/css", headers=headers)


def render(
    template: str, *, status: int = 200, redirects_to: str | None = None, **variables: Any
) -> Response:
    """A page. `redirects_to`: where a form on it may end, which browsers hold it to."""
    html = _TEMPLATES.get_template(template).render(_BLANK | variables)
    targets = ["'self'"]
    if redirects_to is not None:
        parts = urlsplit(redirects_to)
        web = parts.scheme in {"http", "https"}
        targets.append(f"{parts.scheme}://{parts.netloc}" if web else f"{parts.scheme}:")
    policy = (
        "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none';"
        f" form-action {' '.join(targets)}"
    )
    headers = {
        "content-security-policy": policy,
        "cache-control": "no-store",
        "x-frame-options": "DENY",
    }
    return HTMLResponse(html, status_code=status, headers=headers)


def message(title: str, text: str, *, status: int = 200, **variables: Any) -> Response:
    """A page that only says something."""
    return render("message.html", status=status, title=title, text=text, **variables)


def redirect(url: str, parameters: Mapping[str, str | None]) -> Response:
    """To an application, with parameters added to its own."""
    given = urlencode({name: value for name, value in parameters.items() if value is not None})
    parts = urlsplit(url)
    query = f"{parts.query}&{given}" if parts.query and given else parts.query or given
    response = RedirectResponse(urlunsplit(parts._replace(query=query)), status_code=302)
    response.headers["cache-control"] = "no-store"
    return response


def set_cookie(app: State, response: Response, name: str, value: str, seconds: int | None) -> None:
    """A cookie that scripts can't read; over TLS only where we are served over TLS."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        httponly=True,
        secure=app.issuer.startswith("https:"),
        samesite="lax",
    )


def browser_of(http_request: Request) -> str | None:
    """What names the browser."""
    value = http_request.cookies.get(BROWSER_COOKIE, "")
    return value if 20 <= len(value) <= 100 else None


def new_browser() -> str:
    """A fresh name."""
    return secrets.token_urlsafe(24)


def seal(app: State, transaction: Transaction) -> str:
    """The state parameter of the pages."""
    plain = json.dumps(asdict(transaction)).encode()
    sealed = app.ring.seal_at_rest(_PLACE, plain)
    raw = f"{sealed.key_id}.{sealed.data}".encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unseal(app: State, http_request: Request, text: str | None) -> Transaction:
    """Raises BadState."""
    browser = browser_of(http_request)
    if not text or len(text) > MAX_STATE or browser is None:
        raise BadState
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        key_id, _, data = raw.partition(".")
        plain = app.ring.open_at_rest(_PLACE, Sealed(key_id=key_id, data=data))
    except (binascii.Error, ValueError, Unsealable):
        raise BadState from None
    given = json.loads(plain)
    transaction = Transaction(**given | {"asked": Asked(**given["asked"])})
    over = transaction.expires < app.its.database.now().timestamp()
    if over or not hmac.compare_digest(transaction.browser, fingerprint(browser)):
        raise BadState
    return transaction


def fingerprint(browser: str) -> str:
    """What a state keeps of the browser's cookie."""
    return hashlib.sha256(browser.encode()).hexdigest()


def csrf(app: State, http_request: Request, state: str) -> str:
    """A form's token: only a page of ours, in this browser, for this login has it."""
    browser = browser_of(http_request) or ""
    key = app.ring.keyed_hash_key("csrf")
    return hmac.new(key, f"{browser}\0{state}".encode(), hashlib.sha256).hexdigest()


def check_csrf(app: State, http_request: Request, state: str, token: str) -> None:
    """Raise BadState unless the form came from a page of ours."""
    if not hmac.compare_digest(csrf(app, http_request, state).encode(), token.encode()):
        raise BadState
