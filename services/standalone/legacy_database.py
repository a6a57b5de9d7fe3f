"""A customers' table as a home-grown shop has it: the legacy store of the demo.

Its rows are made up by arithmetic, its hashes are real bcrypt. One bcrypt hash costs tens of
milliseconds, so that the accounts nobody logs in to share a few.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import asyncpg
import bcrypt

CUSTOMERS: Final = 3000
_COST: Final = 10  # what most legacy tables hold
_SHARED_HASHES: Final = 4

_SCHEMA: Final = """
CREATE TABLE customers (
    id serial PRIMARY KEY,
    email text NOT NULL,
    full_name text NOT NULL,
    nickname text,
    password_hash text NOT NULL,
    email_confirmed boolean NOT NULL DEFAULT true,
    plan text NOT NULL,
    signed_up_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX customers_email ON customers (lower(email));
"""
_GIVEN: Final = ("Ada", "Grace", "Edsger", "Barbara", "Alan", "Hedy", "Donald", "Radia", "Tony")
_FAMILY: Final = ("Meadow", "Rivers", "Stone", "Fields", "Woods", "Brook", "Hill", "Marsh")


@dataclass(frozen=True, slots=True)
class Customer:
    """An account whose password the demo knows."""

    email: str
    password: str
    name: str


KNOWN: Final = (
    Customer("ada.meadow@shop.example", "correct horse 7", "Ada Meadow"),
    Customer("grace.rivers@shop.example", "battery staple 8", "Grace Rivers"),
    Customer("edsger.stone@shop.example", "goto considered 9", "Edsger Stone"),
)


async def fill(url: str, customers: int = CUSTOMERS) -> None:
    """Create the table and its rows in an empty database."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_SCHEMA)
        await connection.copy_records_to_table(
            "customers",
            columns=["email", "full_name", "nickname", "password_hash", "email_confirmed", "plan"],
            records=_rows(customers),
        )
    finally:
        await connection.close()


def _rows(customers: int) -> Iterator[tuple[str, str, str, str, bool, str]]:
    for known in KNOWN:
        nickname = known.name.split()[0].lower()
        yield known.email, known.name, nickname, _hash(known.password), True, "gold"
    shared = [_hash(f"not a password anyone knows {number}") for number in range(_SHARED_HASHES)]
    for number in range(customers - len(KNOWN)):
        given, family = _GIVEN[number % len(_GIVEN)], _FAMILY[number % len(_FAMILY)]
        email = f"{given}.{family}.{number}@shop.example".lower()
        plan = ("free", "silver", "gold")[number % 3]
        hashed = shared[number % _SHARED_HASHES]
        yield email, f"{given} {family}", given.lower(), hashed, number % 7 != 0, plan


def _hash(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(_COST)).decode()
