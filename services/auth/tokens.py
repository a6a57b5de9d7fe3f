"""Tokens as Auth0 issues them (C§7.1): opaque without an audience, RS256 JWTs with one."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.auth import metrics
from services.auth.clients import Client
from services.auth.logs import Entry, Logs, beside
from services.auth.secret_tokens import digest
from services.auth.signing_keys import ALGORITHM, SigningKeys
from services.auth.users import User
from shared.database import Database

ACCESS_SECONDS: Final = 86_400
ID_SECONDS: Final = 36_000
DEFAULT_SCOPE: Final = "openid profile email address phone"
ALL_SCOPES: Final = frozenset({*DEFAULT_SCOPE.split(), "offline_access"})
"""What a scope may be without an API of one's own."""
_MACHINE: Final = "client-credentials"
_ISSUE: Final = f"""
WITH {beside(6)}
INSERT INTO access_tokens (token_hash, user_id, client_id, scope, expires_at, claims)
VALUES ($1, $2, $3, $4, now() + $5::interval, $6)
"""  # noqa: S608 - a constant
PROFILE_CLAIMS: Final = ("name", "nickname", "given_name", "family_name", "picture", "updated_at")


@dataclass(frozen=True, slots=True)
class Access:
    """What an access token gives access to."""

    user_id: str
    client_id: str
    scope: frozenset[str]
    claims: dict[str, Any] | None = field(default=None, repr=False)
    """Of a user who is not stored."""


class InvalidToken(Exception):
    """The token is not ours, not for us, or over."""


@dataclass(frozen=True, slots=True)
class Granted:
    """What a user's token is to be good for."""

    client: Client
    scope: str
    audience: str | None
    grant: str
    """The `gty` claim and the metric's label."""
    nonce: str | None = None
    refresh_token: str | None = field(default=None, repr=False)


class Tokens:
    """Issues and checks tokens."""

    def __init__(self, database: Database, keys: SigningKeys, issuer: str, logs: Logs) -> None:
        """`issuer` ends with a slash; `logs` gets a line for each token of a user's."""
        self._database = database
        self._logs = logs
        self._keys = keys
        self._issuer = issuer

    @property
    def jwks(self) -> dict[str, Any]:
        """What clients verify with."""
        return self._keys.jwks

    async def for_user(self, user: User, granted: Granted, entry: Entry) -> dict[str, Any]:
        """The token response of a user's login (C§7.1), and the line that tells of it."""
        scopes = frozenset(granted.scope.split())
        body: dict[str, Any] = {
            "access_token": await self._access_token(user, granted, entry),
            "scope": granted.scope,
            "expires_in": ACCESS_SECONDS,
            "token_type": "Bearer",
        }
        if granted.refresh_token is not None:
            body["refresh_token"] = granted.refresh_token
        if "openid" in scopes:
            claims = {**user_claims(user, scopes), "aud": granted.client.client_id}
            if granted.nonce is not None:
                claims["nonce"] = granted.nonce
            body["id_token"] = self._sign(claims, ID_SECONDS)
        metrics.TOKENS.labels(granted.grant, ALGORITHM).inc()
        return body

    def for_client(self, client: Client, audience: str, scopes: list[str]) -> dict[str, Any]:
        """The token response of a client's own login."""
        scope = " ".join(scopes)
        claims = {
            "sub": f"{client.client_id}@clients",
            "aud": audience,
            "azp": client.client_id,
            "gty": _MACHINE,
            "scope": scope,
        }
        metrics.TOKENS.labels("client_credentials", ALGORITHM).inc()
        return {
            "access_token": self._sign(claims, ACCESS_SECONDS),
            "scope": scope,
            "expires_in": ACCESS_SECONDS,
            "token_type": "Bearer",
        }

    async def access(self, token: str) -> Access:
        """What a token for /userinfo gives access to. Raises InvalidToken."""
        if token.count(".") == 2:
            claims = self._claims(token)
            if "openid" not in str(claims.get("scope", "")).split():
                raise InvalidToken
            return Access(
                str(claims.get("sub")),
                str(claims.get("azp")),
                frozenset(str(claims.get("scope", "")).split()),
            )
        row = await self._database.fetchrow(
            "SELECT user_id, client_id, scope, claims FROM access_tokens"
            " WHERE token_hash = $1 AND expires_at > now()",
            digest(token),
        )
        if row is None:
            raise InvalidToken
        known = None if row["claims"] is None else json.loads(row["claims"])
        return Access(row["user_id"], row["client_id"], frozenset(row["scope"].split()), known)

    def management(self, token: str, audience: str) -> tuple[str, frozenset[str]]:
        """The client and the scopes of a Management API token. Raises InvalidToken.

        Only a client's own token: one that a user got must not open the tenant, whatever it says.
        """
        claims = self._claims(token)
        if claims.get("aud") != audience or claims.get("gty") != _MACHINE:
            raise InvalidToken
        return str(claims.get("azp")), frozenset(str(claims.get("scope", "")).split())

    async def _access_token(self, user: User, granted: Granted, entry: Entry) -> str:
        if granted.audience is not None:
            claims = {
                "sub": user.user_id,
                "aud": granted.audience,
                "azp": granted.client.client_id,
                "scope": granted.scope,
                "gty": granted.grant,
            }
            await self._logs.write(entry)
            return self._sign(claims, ACCESS_SECONDS)
        token = secrets.token_urlsafe(24)  # 32 characters, as Auth0's
        known = None if user.stored else json.dumps(user_claims(user, ALL_SCOPES))
        await self._database.execute(
            _ISSUE,
            *(digest(token), user.user_id, granted.client.client_id, granted.scope),
            *(timedelta(seconds=ACCESS_SECONDS), known),
            *entry.values(),
        )
        return token

    def _sign(self, claims: dict[str, Any], seconds: int) -> str:
        now = int(self._database.now().timestamp())
        header = {"alg": ALGORITHM, "typ": "JWT", "kid": self._keys.current.kid}
        body = {"iss": self._issuer, **claims, "iat": now, "exp": now + seconds}
        return jwt.encode(header, body, self._keys.current)

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            found = jwt.decode(token, self._verifying, algorithms=[ALGORITHM])
        except (JoseError, ValueError):
            raise InvalidToken from None
        claims: dict[str, Any] = found.claims
        now = self._database.now().timestamp()
        if claims.get("iss") != self._issuer or not now < float(claims.get("exp", 0)):
            raise InvalidToken
        return claims

    @property
    def _verifying(self) -> KeySet:
        return self._keys.verifying


def user_claims(user: User, scope: frozenset[str]) -> dict[str, Any]:
    """The claims of /userinfo and the id token, by scope (OpenID Connect Core, section 5.4)."""
    view = user.public()
    claims: dict[str, Any] = {"sub": user.user_id}
    if "profile" in scope:
        claims |= {name: view[name] for name in PROFILE_CLAIMS if view.get(name) is not None}
    if "phone" in scope and view.get("phone_number"):
        claims["phone_number"] = view["phone_number"]
        claims["phone_number_verified"] = view.get("phone_verified") is True
    if "email" in scope and user.email is not None:
        claims |= {"email": user.email, "email_verified": user.email_verified}
    return claims
