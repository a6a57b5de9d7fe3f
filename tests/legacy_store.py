"""A customer's old user table in PostgreSQL, and the seven scripts that serve it.

Each script notes its call in the store, so that a test sees what was asked, in which order and
with which arguments. A test can make one action answer something else, once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

TABLES: Final = """
CREATE TABLE people (
  id text PRIMARY KEY DEFAULT 'p' || nextval('people_ids'),
  email text, username text, password text NOT NULL, verified boolean NOT NULL DEFAULT false,
  extra jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE calls (call bigserial PRIMARY KEY, action text, arguments jsonb, context jsonb);
CREATE TABLE replies (action text PRIMARY KEY, kind text NOT NULL);
"""
_PRELUDE: Final = """
  const { Pool } = require('pg');
  global.pool = global.pool || new Pool({ connectionString: configuration.LEGACY_URL, max: 2 });
  const said = typeof context === 'undefined' ? null : JSON.stringify(context);
  const profile = (row) => Object.assign({}, row.extra, {
    user_id: row.id, email: row.email || undefined, username: row.username || undefined,
    email_verified: row.verified,
  });
  async function begin(action, args) {
    await pool.query('INSERT INTO calls (action, arguments, context) VALUES ($1, $2, $3)',
      [action, JSON.stringify(args), said]);
    const reply = await pool.query('DELETE FROM replies WHERE action = $1 RETURNING kind', [action]);
    const kind = reply.rows.length ? reply.rows[0].kind : '';
    if (kind === 'outage') throw new Error('connect ECONNREFUSED 10.0.0.1:5432');
    if (kind === 'slow') await new Promise((slept) => setTimeout(slept, 500));
    if (kind === 'taken') throw new ValidationError('user_exists', 'That name is gone.');
    if (kind === 'refused') throw new ValidationError('too_short', 'Ten letters, please.');
    if (kind === 'barred') throw new UnauthorizedError('Come back tomorrow.');
    return kind;
  }
  const find = (name) => pool.query(
    'SELECT * FROM people WHERE lower(email) = lower($1) OR username = $1', [name]);
"""
_BODIES: Final = {
    "login": (
        "identifier, password",
        """
  await begin('login', [identifier, password]);
  const { rows } = await find(identifier);
  if (!rows.length) throw new WrongUsernameOrPasswordError(null, 'nobody has this name');
  if (rows[0].password !== password) {
    throw new WrongUsernameOrPasswordError(rows[0].id, 'that is not the password');
  }
  const { seconds, ...extra } = rows[0].extra;
  if (seconds) await new Promise((slept) => setTimeout(slept, seconds * 1000));
  rows[0].extra = extra;
  return profile(rows[0]);""",
    ),
    "get_user": (
        "identifier",
        """
  await begin('get_user', [identifier]);
  const { rows } = await find(identifier);
  return rows.length ? profile(rows[0]) : undefined;""",
    ),
    "create": (
        "user",
        """
  await begin('create', [user]);
  await pool.query('INSERT INTO people (email, username, password, extra) VALUES ($1, $2, $3, $4)',
    [user.email, user.username, user.password, { given_name: user.given_name }]);""",
    ),
    "verify": (
        "email",
        """
  const kind = await begin('verify', [email]);
  const { rowCount } = await pool.query(
    'UPDATE people SET verified = true WHERE email = $1', [email]);
  return kind === 'false' ? false : rowCount > 0;""",
    ),
    "change_password": (
        "email, newPassword",
        """
  const kind = await begin('change_password', [email, newPassword]);
  const { rowCount } = await pool.query(
    'UPDATE people SET password = $2 WHERE email = $1 OR username = $1', [email, newPassword]);
  return kind === 'false' ? false : rowCount > 0;""",
    ),
    "change_email": (
        "email, newEmail, verified",
        """
  const kind = await begin('change_email', [email, newEmail, verified]);
  if (kind === 'false') return false;
  const { rowCount } = await pool.query(
    'UPDATE people SET email = $2, verified = $3 WHERE email = $1', [email, newEmail, verified]);
  return rowCount > 0;""",
    ),
    "delete": (
        "id",
        """
  await begin('delete', [id]);
  await pool.query('DELETE FROM people WHERE id = $1', [id]);""",
    ),
}


def scripts(*, with_context: bool = False) -> dict[str, str]:
    """The seven scripts, with or without a context argument (C§1.2)."""
    context = ", context" if with_context else ""
    return {
        action: f"function {action}Script({parameters}{context}, callback) {{{_PRELUDE}"
        f"  (async () => {{{body}\n  }})().then((done) => callback(null, done), callback);\n}}"
        for action, (parameters, body) in _BODIES.items()
    }


@dataclass(slots=True)
class LegacyStore:
    """The table behind the scripts."""

    url: str = field(repr=False)
    connection: asyncpg.Connection[Any]

    @classmethod
    async def open(cls, url: str) -> LegacyStore:
        """A store in an empty database."""
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE SEQUENCE people_ids START 100")
        await connection.execute(TABLES)
        return cls(url, connection)

    def options(self, *, with_context: bool = False, **more: Any) -> dict[str, Any]:
        """The options of a connection to this store; `import_mode` and the like in `more`."""
        return {
            "enabledDatabaseCustomization": True,
            "import_mode": False,
            "enable_script_context": with_context,
            "passwordPolicy": "fair",
            "customScripts": scripts(with_context=with_context),
            "configuration": {"LEGACY_URL": self.url},
        } | more

    async def add(self, email: str | None, password: str, **fields: Any) -> str:
        """Somebody who has an account there; their id."""
        row = await self.connection.fetchval(
            "INSERT INTO people (email, password, username, verified, extra)"
            " VALUES ($1, $2, $3, $4, $5) RETURNING id",
            *(email, password, fields.pop("username", None), fields.pop("verified", False)),
            json.dumps(fields),
        )
        return str(row)

    async def person(self, email: str) -> dict[str, Any] | None:
        """What the store has of somebody."""
        row = await self.connection.fetchrow("SELECT * FROM people WHERE email = $1", email)
        return None if row is None else dict(row)

    async def calls(self) -> list[str]:
        """The actions that were called since this was last asked."""
        return [action for action, _, _ in await self.details()]

    async def details(self) -> list[tuple[str, list[Any], Any]]:
        """The same, with arguments and context."""
        rows = await self.connection.fetch(
            "WITH gone AS (DELETE FROM calls RETURNING *) SELECT * FROM gone ORDER BY call"
        )
        return [
            (
                row["action"],
                json.loads(row["arguments"]),
                None if row["context"] is None else json.loads(row["context"]),
            )
            for row in rows
        ]

    async def answer_once(self, action: str, kind: str) -> None:
        """Let an action's next call come to `kind`: outage, slow, taken, refused, barred, false."""
        await self.connection.execute(
            "INSERT INTO replies (action, kind) VALUES ($1, $2)", action, kind
        )
