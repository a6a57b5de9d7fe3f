"""What a new connection starts with when it names no scripts (C§1.6): stubs that say what to do."""

from __future__ import annotations

from typing import Final

SETTINGS_URL: Final = "https://manage.auth0.com/#/connections/database"
"""Where the stubs send their readers; customers search their logs for these texts (C§1.3)."""


def _stub(name: str, parameters: str, title: str, contract: str) -> str:
    comment = "\n".join(f"  // {line}" for line in contract.splitlines())
    return f"""function {name}({parameters}) {{
{comment}
  const msg = 'Please implement the {title} script for this database connection at {SETTINGS_URL}';
  return callback(new Error(msg));
}}
"""


DEFAULT_SCRIPTS: Final = {
    "login": _stub(
        "login",
        "email, password, callback",
        "Login",
        """Check the password in your user store. Call back exactly once:
callback(null, profile)   the password is right; profile.user_id is mandatory and never changes
callback(new WrongUsernameOrPasswordError(email, 'text'))   it is wrong, or nobody has that name
callback(new Error('text'))   your store could not be asked; never report that as a wrong password""",
    ),
    "get_user": _stub(
        "getByEmail",
        "email, callback",
        "Get User",
        """Find a user without a password. Call back exactly once:
callback(null, profile)   found, with the same user_id that login returns
callback(null)   there is no such user
callback(new Error('text'))   your store could not be asked""",
    ),
    "create": _stub(
        "create",
        "user, callback",
        "Create",
        """Create user.email with user.password (plain text: hash it). Call back exactly once:
callback(null)   created
callback(new ValidationError('user_exists', 'text'))   there is one already""",
    ),
    "verify": _stub(
        "verify",
        "email, callback",
        "Verify",
        """Note that this address was verified. Call back exactly once:
callback(null, true)   noted
callback(null, false)   nobody has that address""",
    ),
    "change_password": _stub(
        "changePassword",
        "email, newPassword, callback",
        "Change Password",
        """Store the new password (plain text: hash it). Call back exactly once:
callback(null, true)   stored
callback(null, false)   nobody has that address""",
    ),
    "delete": _stub(
        "remove",
        "id, callback",
        "Delete",
        """Delete the user whose user_id you returned. Call back exactly once:
callback(null)   gone""",
    ),
}
