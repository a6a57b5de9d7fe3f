"""People who log in, sign up, forget and read their mail: what flows are driven with."""

from __future__ import annotations

import asyncio
import email
import re
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.site import Site

PASSWORD = "Tr1ckle-by-night"


@dataclass
class People:
    """Everybody around a site, and where its mails are."""

    site: Site
    mails: Path
    _names: count[int] = field(default_factory=lambda: count(1))

    def somebody(self) -> str:
        """An address that nobody had yet."""
        return f"person{next(self._names)}@example.com"

    async def settle(self) -> None:
        """Wait for what goes on behind answers."""
        await self.site.auth.state.drain()

    async def signup(self, realm: str, address: str, **more: Any) -> httpx.Response:
        body = {
            "client_id": self.site.client_id,
            "connection": realm,
            "email": address,
            "password": PASSWORD,
        }
        return await self.site.http.post("/dbconnections/signup", json=body | more)

    async def login(
        self, realm: str, address: str, password: str = PASSWORD, **more: Any
    ) -> httpx.Response:
        return await self.site.login(password, address, realm=realm, **more)

    async def forgot(self, realm: str, address: str) -> httpx.Response:
        body = {"client_id": self.site.client_id, "connection": realm, "email": address}
        answer = await self.site.http.post("/dbconnections/change_password", json=body)
        await self.settle()
        return answer

    async def mails_to(self, address: str) -> list[EmailMessage]:
        """What is in their letter box, oldest first; it is emptied."""
        waiting = "SELECT count(*) FROM mails WHERE sent_at IS NULL AND failed_at IS NULL"
        async with asyncio.timeout(10):
            # Housekeeping sends too: what it has just taken is not in the folder yet.
            while await self.site.database.fetchval(waiting):
                await self.site.auth.state.its.mails.send_due()
        found = []
        for file in sorted(self.mails.glob("*.eml"), key=lambda one: one.stat().st_mtime_ns):
            mail = email.message_from_bytes(file.read_bytes(), policy=default)
            assert isinstance(mail, EmailMessage)
            if mail["To"] == address:
                found.append(mail)
                file.unlink()
        return found

    async def link_in_mail(self, address: str) -> str:
        """The path of the link in the one mail that they got."""
        mails = await self.mails_to(address)
        assert 1 == len(mails), [mail["Subject"] for mail in mails]
        plain = mails[0].get_body(("plain",))
        assert plain is not None
        return path_of(plain.get_content())

    async def reset(self, link: str, password: str) -> httpx.Response:
        """Fill in the page behind a link."""
        form = {"ticket": ticket_of(link), "password": password, "again": password}
        return await self.site.http.post("/u/reset-password", data=form)

    async def verify(self, link: str) -> httpx.Response:
        return await self.site.http.post("/u/email-verification", data={"ticket": ticket_of(link)})

    async def logged(self, kind: str) -> list[dict[str, Any]]:
        """The tenant log's lines of a kind, latest first."""
        await self.settle()
        found = await self.site.http.get(
            f"/api/v2/logs?q=type:{kind}&per_page=100&include_totals=false&sort=date:-1",
            headers=self.site.bearer,
        )
        assert 200 == found.status_code, found.text
        lines: list[dict[str, Any]] = found.json()
        return lines

    async def user(self, address: str) -> dict[str, Any] | None:
        """Our record of somebody."""
        found = await self.site.http.get(
            "/api/v2/users-by-email", params={"email": address}, headers=self.site.bearer
        )
        users = found.json()
        assert len(users) < 2
        return users[0] if users else None

    async def patch(self, realm: dict[str, Any], **options: Any) -> None:
        """Change options of a connection, keeping the others."""
        changed = {"options": {**realm["options"], **options}}
        answer = await self.site.manage("PATCH", f"connections/{realm['id']}", changed)
        assert 200 == answer.status_code, answer.text
        realm.update(answer.json())


def path_of(text: str) -> str:
    """The first link in a text, without its host."""
    found = re.search(r"https://\S+", text)
    assert found, text
    parts = urlsplit(found[0])
    return f"{parts.path}?{parts.query}"


def ticket_of(link: str) -> str:
    return urlsplit(link).query.removeprefix("ticket=")
