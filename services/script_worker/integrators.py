"""The sealing keys of other teams: which one opens a request, if it may ask for that connection.

Asked once a request of theirs, never kept: a key that was revoked a moment ago opens nothing.
"""

from __future__ import annotations

from typing import Final

from shared.contracts import ExecutionRequest, Sealed
from shared.database import Database
from shared.errors import Unsealable
from shared.sealing import KeyRing

_SELECT: Final = """
SELECT sealed_key FROM integrator_keys JOIN integrator_connections USING (name)
WHERE key_id = $1 AND name = $2 AND connection_id = $3
"""


class Integrators:
    """Opens what they sealed."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        """`ring` opens their keys, which are sealed at rest."""
        self._database = database
        self._ring = ring

    async def ring(self, request: ExecutionRequest) -> KeyRing:
        """The key of a request, and no other; the value is sealed under it too.

        Raises Unavailable; Unsealable when the key is revoked, somebody else's, or not for this
        connection.
        """
        key_id = request.sealed_arguments.key_id
        sealed = await self._database.fetchval(
            _SELECT, key_id, request.origin, request.connection_id
        )
        if sealed is None:
            raise Unsealable("the integrator has no such key for this connection")
        place = f"integrator_key/{key_id}"
        key = self._ring.open_at_rest(place, Sealed.model_validate_json(sealed))
        return KeyRing(key_id, {key_id: key})
