"""Advisory locks of Postgres: their numbers, in one place, so that no two things share one."""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class Lock(IntEnum):
    """What one replica or command does at a time. Numbers stay: releases run beside each other."""

    MIGRATIONS = 7400
    SIGNING_KEYS = 7402
    LANES = 7403
    FIRST_CLIENT = 7404
