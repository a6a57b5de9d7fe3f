"""Tokens as Auth0 issues them (C§7.1): opaque without an audience, RS256 JWTs with one."""

from __future__ import annotations

import hashlib
import secrets
import string
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.auth import metrics
from services.auth.clients import Client
from services.auth.signing_keys import ALGORITHM, SigningKeys
from services.auth.users import User
from shared.database import Database

ACCESS_SECONDS: Final = 86_400
ID_SECONDS: Final = 36_000
DEFAULT_SCOPE: Final = "openid profile email address phone"
_ALPHABET: Final = string.ascii_letters + string.digits + "-_"
_PROFILE: Final = ("name", "nickname", "given_name", "family_name", "picture", "updated_at")


@dataclass(frozen=True, slots=True)
class Access:
    """What an access token gives access to."""

    user_id: str
    client_id: str
    scope: frozenset[str]


class InvalidToken(Exception):
    """The token is not ours, not for us, or over."""


class Tokens:
    """Issues and checks tokens."""

    def __init__(self, database: Database, keys: SigningKeys, issuer: str) -> None:
        """`issuer` ends with a slash."""
        self._database = database
        self._keys = keys
        self._issuer = issuer

    @property
    def jwks(self) -> dict[str, Any]:
        """What clients verify with."""
        return self._keys.jwks

    async def for_user(
        self, user: User, client: Client, scope: str | None, audience: str | None, grant: str
    ) -> dict[str, Any]:
        """The token response of a user's login."""
        granted = scope or DEFAULT_SCOPE
        body: dict[str, Any] = {
            "access_token": await self._access_token(user, client, granted, audience),
            "scope": granted,
            "expires_in": ACCESS_SECONDS,
            "token_type": "Bearer",
        }
        if "openid" in granted.split():
            body["id_token"] = self._sign(
                {
                    **user_claims(user, frozenset(granted.split())),
                    "aud": client.client_id,
                },
                ID_SECONDS,
            )
        metrics.TOKENS.labels(grant, ALGORITHM).inc()
        return body

    def for_client(self, client: Client, audience: str, scopes: list[str]) -> dict[str, Any]:
        """The token response of a client's own login."""
        scope = " ".join(scopes)
        claims = {
            "sub": f"{client.client_id}@clients",
            "aud": audience,
            "azp": client.client_id,
            "gty": "client-credentials",
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
            return Access(
                str(claims.get("sub")),
                str(claims.get("azp")),
                frozenset(str(claims.get("scope", "")).split()),
            )
        row = await self._database.fetchrow(
            "SELECT user_id, client_id, scope FROM access_tokens"
            " WHERE token_hash = $1 AND expires_at > now()",
            _hash(token),
        )
        if row is None:
            raise InvalidToken
        return Access(row["user_id"], row["client_id"], frozenset(row["scope"].split()))

    def management_scopes(self, token: str, audience: str) -> frozenset[str]:
        """The scopes of a Management API token. Raises InvalidToken."""
        claims = self._claims(token)
        if claims.get("aud") != audience:
            raise InvalidToken
        return frozenset(str(claims.get("scope", "")).split())

    async def _access_token(
        self, user: User, client: Client, scope: str, audience: str | None
    ) -> str:
        if audience is not None:
            claims = {
                "sub": user.user_id,
                "aud": audience,
                "azp": client.client_id,
                "scope": scope,
                "gty": "password",
            }
            return self._sign(claims, ACCESS_SECONDS)
        token = "".join(secrets.choice(_ALPHABET) for _ in range(32))
        await self._database.execute(
            "INSERT INTO access_tokens (token_hash, user_id, client_id, scope, expires_at)"
            " VALUES ($1, $2, $3, $4, now() + $5::interval)",
            *(_hash(token), user.user_id, client.client_id, scope),
            timedelta(seconds=ACCESS_SECONDS),
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
        claims |= {name: view[name] for name in _PROFILE if view.get(name) is not None}
    if "email" in scope and user.email is not None:
        claims |= {"email": user.email, "email_verified": user.email_verified}
    return claims


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
