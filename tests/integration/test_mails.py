"""Mail leaves an outbox over SMTP, and what fails is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from services.auth.mails import Mails
from services.auth.post import Post
from shared.database import Database, open_database
from shared.sealing import KeyRing

LINK = "https://auth.example/u/reset-password?ticket=s3cret-ticket#"


class Server:
    """Takes mails, or answers what a test wants it to."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answers: list[str] = []
        self.logins: list[tuple[bytes, bytes]] = []

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802
        if self.answers:
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such user: nobody@example.com"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def login(self, *arguments: Any) -> AuthResult:
        found = arguments[-1]
        assert isinstance(found, LoginPassword)
        self.logins.append((found.login, found.password))
        return AuthResult(success=found.password == b"p@ss:word")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def address(server: Server) -> AsyncIterator[str]:
    def protocol() -> SMTP:
        return SMTP(server, authenticator=server.login, auth_require_tls=False)

    listening = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as found:
        yield found


RING = KeyRing.parse(KeyRing.generate())


def outbox(database: Database, url: str | None) -> Mails:
    return Mails(database, RING, Post("no-reply@example.com", url))


async def put(mails: Mails, database: Database, recipient: str = "ada@example.com") -> None:
    async with database.transaction() as session:
        await mails.write(
            session,
            recipient,
            "reset_password",
            url=LINK,
            application="Shop & Co",
            until=datetime(2026, 1, 1, tzinfo=UTC),
        )


async def later(database: Database) -> None:
    """As if the time to the next try had passed."""
    await database.execute("UPDATE mails SET next_try_at = now() - interval '1 second'")


async def row(database: Database) -> dict[str, Any]:
    found = await database.fetchrow("SELECT * FROM mails")
    assert found is not None
    return dict(found)


async def test_a_mail_arrives_once_in_text_and_html(
    database: Database, server: Server, address: str
) -> None:
    mails = outbox(database, f"smtp://user:p%40ss%3Aword@{address}")
    await put(mails, database)

    assert (1, 0) == (await mails.send_due(), await mails.send_due())

    assert [(b"user", b"p@ss:word")] == server.logins
    mail = server.mails[0]
    assert ("ada@example.com", "no-reply@example.com", "auto-generated") == (
        mail["To"],
        mail["From"],
        mail["Auto-Submitted"],
    )
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert LINK in plain.get_content()
    assert "Shop &amp; Co" in html.get_content()
    assert "Shop & Co" in plain.get_content()
    assert mail["Subject"]
    assert "{}" == (await row(database))["sealed_body"], "a sent mail's link is forgotten"


async def test_a_link_is_one_line_of_the_file_that_a_person_reads(
    database: Database, tmp_path: Path
) -> None:
    mails = Mails(database, RING, Post("no-reply@example.com", folder=tmp_path))
    await put(mails, database)

    assert 1 == await mails.send_due()

    (file,) = tmp_path.glob("*.eml")  # noqa: ASYNC240 - one small folder
    assert f"\n{LINK}\n" in file.read_text()
    assert 0o600 == file.stat().st_mode & 0o777


async def test_an_outbox_says_nothing_to_who_reads_the_database(
    database: Database, address: str
) -> None:
    mails = outbox(database, f"smtp://{address}")
    await put(mails, database)

    assert "s3cret-ticket" not in str(await row(database))


async def test_what_a_server_puts_off_is_tried_again_ever_later(
    database: Database, server: Server, address: str
) -> None:
    mails = outbox(database, f"smtp://{address}")
    await put(mails, database)
    server.answers = ["451 try again, ada@example.com", "421 busy"]
    waits = []

    for _ in range(2):
        await mails.send_due()
        kept = await row(database)
        waits.append(kept["next_try_at"] - database.now())
        assert "ada@" not in kept["last_error"]
        assert 0 == await mails.send_due(), "not before its time"
        await later(database)
    await mails.send_due()

    assert waits[1] > waits[0] > timedelta(seconds=5)
    assert 1 == len(server.mails)
    assert (await row(database))["sent_at"] is not None


async def test_a_server_that_is_away_loses_nothing(database: Database) -> None:
    mails = outbox(database, "smtp://127.0.0.1:1")
    await put(mails, database)

    await mails.send_due()

    kept = await row(database)
    assert (None, None, 1) == (kept["sent_at"], kept["failed_at"], kept["attempts"])


async def test_a_recipient_who_does_not_exist_is_given_up(
    database: Database, server: Server, address: str
) -> None:
    mails = outbox(database, f"smtp://{address}")
    await put(mails, database, "nobody@example.com")

    await mails.send_due()
    await later(database)

    assert 0 == await mails.send_due()
    kept = await row(database)
    assert kept["failed_at"] is not None
    assert "nobody@" not in kept["last_error"]


async def test_after_twelve_tries_it_is_over(database: Database) -> None:
    mails = outbox(database, "smtp://127.0.0.1:1")
    await put(mails, database)

    for _ in range(12):
        assert 1 == await mails.send_due()
        await later(database)

    assert 0 == await mails.send_due()
    assert (await row(database))["failed_at"] is not None


async def test_a_server_without_encryption_gets_nothing_where_it_is_demanded(
    database: Database, server: Server, address: str
) -> None:
    mails = outbox(database, f"smtp+starttls://user:p%40ss%3Aword@{address}")
    await put(mails, database)

    await mails.send_due()

    assert ([], []) == (server.mails, server.logins)
    assert (await row(database))["sent_at"] is None


async def test_two_replicas_send_a_mail_once(
    database: Database, server: Server, address: str
) -> None:
    mails = [outbox(database, f"smtp://{address}") for _ in range(2)]
    for _ in range(5):
        await put(mails[0], database)

    sent = await asyncio.gather(*(one.send_due() for one in mails))

    assert 5 == sum(sent) == len(server.mails)


async def test_without_a_server_mails_wait(database: Database) -> None:
    mails = outbox(database, None)
    await put(mails, database)

    assert 0 == await mails.send_due()

    assert 0 == (await row(database))["attempts"]
