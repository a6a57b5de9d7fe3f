"""A connection as auth sees it, for what takes one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.auth.connections import Connection
from services.auth.password_policy import PasswordOptions


def connection(**switches: Any) -> Connection:
    """`switches` replace what it is otherwise."""
    fields: dict[str, Any] = {
        "connection_id": "con_" + "a" * 16,
        "name": "shop",
        "display_name": None,
        "revision": "0" * 32,
        "actions": frozenset(),
        "custom_database": True,
        "import_mode": True,
        "script_budget": timedelta(seconds=20),
        "worker_concurrency": 4,
        "lane": None,
        "moving": False,
        "root_attributes": "on_each_login",
        "non_persistent_attrs": frozenset(),
        "failures_as_503": False,
        "show_script_messages": False,
        "ignore_mfa_factors": False,
        "disable_signup": False,
        "requires_username": False,
        "username_length": (1, 15),
        "passwords": PasswordOptions(),
        "soft_deadline": None,
        "reimport_deleted_users": True,
        "brute_force_protection": True,
        "lockout_attempts": 5,
        "lockout_seconds": 600.0,
        "calls_per_second": 100.0,
        "negative_cache_seconds": 30.0,
        "enabled_clients": frozenset(),
        "realms": ("shop",),
        "is_domain_connection": False,
        "metadata": {},
        "options": {},
    }
    return Connection(**fields | switches)
