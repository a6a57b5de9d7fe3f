"""Management API v2: the subset that Auth0's own clients use (C§6.4, C§7.4), a module a resource."""

from __future__ import annotations

from typing import Final

from services.auth.http.management import (
    blocks,
    clients,
    connections,
    jobs,
    logs,
    tenant,
    tickets,
    users,
)

OPERATIONS: Final = [
    *connections.OPERATIONS,
    *clients.OPERATIONS,
    *users.OPERATIONS,
    *blocks.OPERATIONS,
    *tickets.OPERATIONS,
    *jobs.OPERATIONS,
    *logs.OPERATIONS,
    *tenant.OPERATIONS,
]
