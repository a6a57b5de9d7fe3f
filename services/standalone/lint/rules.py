"""The rules of `trickle lint`: how bad each is, and what to do. `rules.mjs` finds; this explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "info"]
ORDER: Final[tuple[Severity, ...]] = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a finding means."""

    severity: Severity
    meaning: str
    advice: str


RULES: Final[dict[str, Rule]] = {
    "syntax-error": Rule("error", "The text is no JavaScript.", "Mend it; it can't be bound."),
    "not-a-function": Rule(
        "error", "No function is declared.", "Declare the one that is to be called."
    ),
    "never-calls-back": Rule(
        "error", "The callback is never used.", "Call it on every path, once."
    ),
    "module-missing": Rule(
        "error", "A module is required that is not shipped.", "Use the one that is named."
    ),
    "missing-in-node": Rule(
        "error", "A function that Node no longer has.", "Use what took its place."
    ),
    "missing-user-id": Rule(
        "error", "A profile without `user_id` (C§2.1).", "Return the store's stable id."
    ),
    "argument-count": Rule(
        "warning", "Another number of parameters than the call has (C§1.1).", "Take them in order."
    ),
    "path-without-callback": Rule(
        "warning", "A path returns and nobody was called back.", "Call back before it returns."
    ),
    "callback-twice": Rule(
        "warning", "The callback may be called again.", "`return callback(…)`; `then(f, g)`."
    ),
    "error-ignored": Rule(
        "warning", "A driver's error is never looked at.", "`if (err) return callback(err);`"
    ),
    "connection-not-ended": Rule(
        "warning", "A connection is opened and never ended.", "End it, or keep a pool in `global`."
    ),
    "string-built-sql": Rule(
        "warning", "SQL text is built from values: an injection.", "Use parameters."
    ),
    "plaintext-logging": Rule(
        "warning", "A password or the configuration is logged.", "Log an id instead."
    ),
    "secret-in-text": Rule(
        "warning", "A secret stands in the script.", "Move it to the connection's configuration."
    ),
    "false-on-success": Rule(
        "warning", "The script says false when it succeeds.", "Ask for `affectedRows`."
    ),
    "denial-not-counted": Rule(
        "warning",
        "A wrong password that counts toward no budget: it may be guessed on (C§3.1).",
        "`callback(new WrongUsernameOrPasswordError(email, message))`; the other classes are for"
        " users whose password is right.",
    ),
    "magic-global": Rule(
        "warning", "A global of Node 12 tenants (C§4.4).", "Require it, or set `magic_globals`."
    ),
    "threads": Rule(
        "warning",
        "Threads of Node's don't start under the default memory limit.",
        "Do without; `bcrypt` and `crypto` have threads of their own.",
    ),
    "gone-from-node": Rule(
        "info", "An interface that Node has dropped.", "It works here; move on."
    ),
    "module-mapped": Rule(
        "info", "A pinned version that gets another one (C§4.3).", "Try the script: `trickle try`."
    ),
    "module-shimmed": Rule(
        "info", "A call that works only by a shim (C§5.2).", "It works here; move on."
    ),
}
