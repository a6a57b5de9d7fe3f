"""Mail: written into an outbox in the transaction that needs it, sent by any replica, retried.

A mail holds a link that is as good as a password: the outbox keeps it sealed, and once it is
sent its body is forgotten. Without a mail server the mails go to a folder, or stay in the outbox.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import aiosmtplib
import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from services.auth import metrics, places
from services.auth.post import Post
from shared.contracts import Sealed
from shared.database import Database, Session
from shared.sealing import KeyRing

log = structlog.get_logger(__name__)

Template = Literal["reset_password", "verify_email"]
SEND_WITHIN: Final = 20.0
_CLAIM: Final = timedelta(minutes=1)
"""Longer than a send may take: a replica that dies leaves its mails to the next."""
_MAX_ATTEMPTS: Final = 12
_LONGEST_WAIT: Final = timedelta(hours=1)
"""Twelve tries: about five hours, well inside the five days that a ticket lives."""
_UNBROKEN: Final = default.clone(max_line_length=998)
"""A link in one line (RFC 5322, section 2.1.1, allows it), for who reads the mail as a file."""
_TEMPLATES: Final = Environment(
    loader=PackageLoader("services.auth", "templates/mail"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
)


class Mails:
    """The outbox."""

    def __init__(self, database: Database, ring: KeyRing, post: Post) -> None:
        """`post` says where mails go."""
        self._database = database
        self._ring = ring
        self._post = post
        self._said = False

    async def write(
        self,
        session: Session,
        recipient: str,
        template: Template,
        *,
        url: str,
        application: str | None,
        until: datetime,
    ) -> None:
        """Put a mail with a link into the outbox, inside the caller's transaction."""
        variables = {
            "email": recipient,
            "url": url,
            "application": application or "",
            "until": f"{until:%Y-%m-%d %H:%M} UTC",
        }
        place = str(uuid4())
        sealed = self._ring.seal_at_rest(places.mail(place), json.dumps(variables).encode())
        await session.execute(
            "INSERT INTO mails (recipient, template, sealed_body) VALUES ($1, $2, $3)",
            recipient,
            template,
            json.dumps({"place": place, **sealed.model_dump()}),
        )

    async def send_due(self) -> int:
        """Send what is due, one after the other; how many went. Raises Unavailable."""
        if self._post.server is None and self._post.folder is None:
            await self._say_once()
            return 0
        rows = await self._database.fetch(
            "UPDATE mails SET attempts = attempts + 1, next_try_at = now() + $1::interval"
            " WHERE mail_id IN (SELECT mail_id FROM mails WHERE next_try_at <= now()"
            "  AND sent_at IS NULL AND failed_at IS NULL ORDER BY next_try_at LIMIT 10"
            "  FOR UPDATE SKIP LOCKED) RETURNING *",
            _CLAIM,
        )
        for row in rows:
            await self._send(row)
        return len(rows)

    async def _send(self, row: Any) -> None:
        message = self.message(row)
        try:
            async with asyncio.timeout(SEND_WITHIN):
                await self._deliver(message)
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            await self._failed(row, error)
            return
        metrics.MAILS.labels(row["template"], "sent").inc()
        await self._database.execute(
            "UPDATE mails SET sent_at = now(), sealed_body = '{}' WHERE mail_id = $1",
            row["mail_id"],
        )

    async def _failed(self, row: Any, error: Exception) -> None:
        # The class alone: a server's answer may quote the address, or the mail.
        name, attempts = type(error).__name__, row["attempts"]
        over = attempts >= _MAX_ATTEMPTS or isinstance(error, aiosmtplib.SMTPRecipientsRefused)
        wait = min(timedelta(seconds=5 * 2**attempts), _LONGEST_WAIT)
        metrics.MAILS.labels(row["template"], "failed" if over else "retried").inc()
        log.warning("mail.not_sent", error_class=name, attempts=attempts, given_up=over)
        await self._database.execute(
            "UPDATE mails SET last_error = $2, next_try_at = now() + $3::interval,"
            " failed_at = CASE WHEN $4 THEN now() END WHERE mail_id = $1",
            *(row["mail_id"], name, wait, over),
        )

    def message(self, row: Any) -> EmailMessage:
        """The mail of a row of the outbox."""
        stored = json.loads(row["sealed_body"])
        sealed = Sealed(key_id=stored["key_id"], data=stored["data"])
        variables = json.loads(self._ring.open_at_rest(places.mail(stored["place"]), sealed))
        return compose(row["template"], row["recipient"], self._post.sender, variables, row)

    async def _deliver(self, message: EmailMessage) -> None:
        if self._post.server is not None:
            await _send_by_smtp(message, self._post.server)
        elif self._post.folder is not None:
            await asyncio.to_thread(_keep, message, self._post.folder)

    async def _say_once(self) -> None:
        waiting = await self._database.fetchval(
            "SELECT count(*) FROM mails WHERE sent_at IS NULL AND failed_at IS NULL"
        )
        if waiting and not self._said:
            self._said = True
            log.warning("mail.kept", waiting=waiting, next="set TRICKLE_SMTP_URL to send them")


def compose(
    template: str, recipient: str, sender: str, variables: Mapping[str, Any], row: Mapping[str, Any]
) -> EmailMessage:
    """A mail in plain text and HTML; its first line is its subject."""
    text = _TEMPLATES.get_template(f"{template}.txt").render(variables)
    subject, _, body = text.partition("\n")
    created_at: datetime = row["created_at"]
    message = EmailMessage(policy=_UNBROKEN)
    message["Subject"] = subject.strip()
    message["From"] = sender
    message["To"] = recipient
    message["Date"] = format_datetime(created_at)
    message["Message-ID"] = make_msgid(
        f"trickle-{row['mail_id']}", domain=sender.rpartition("@")[2]
    )
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    message.set_content(body.lstrip("\n"))
    html = _TEMPLATES.get_template(f"{template}.html").render(variables)
    message.add_alternative(html, subtype="html")
    return message


async def _send_by_smtp(message: EmailMessage, url: str) -> None:
    parts = urlsplit(url)
    tls = parts.scheme == "smtps"
    await aiosmtplib.send(
        message,
        hostname=parts.hostname or "localhost",
        port=parts.port or (465 if tls else 587),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        use_tls=tls,
        # smtp: encrypted when the server offers it; smtp+starttls: or not at all.
        start_tls=None if parts.scheme == "smtp" else parts.scheme == "smtp+starttls",
        timeout=SEND_WITHIN,
    )


def _keep(message: EmailMessage, folder: Path) -> None:
    """As a file that only its owner reads: it holds a link."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{uuid4().hex[:8]}.eml"
    descriptor = os.open(folder / f".{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(message.as_bytes())
    (folder / f".{name}").rename(folder / name)
