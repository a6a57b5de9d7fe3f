"""What every flow shares: the doors of one replica, built once in `app.py`."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.connections import Connections
from services.auth.credentials import Credentials
from services.auth.guard import Guard
from services.auth.legacy import Legacy
from services.auth.logs import Logs
from services.auth.mails import Mails
from services.auth.padding import Padding
from services.auth.tickets import Tickets
from services.auth.users import Users
from shared.database import Database
from shared.sealing import KeyRing


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """The doors."""

    database: Database
    ring: KeyRing
    connections: Connections
    users: Users
    credentials: Credentials
    legacy: Legacy
    guard: Guard
    padding: Padding
    tickets: Tickets
    mails: Mails
    logs: Logs
    tenant: str
    """What `create` scripts see as `user.tenant` (C§1.5)."""
