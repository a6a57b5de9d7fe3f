"""The first management client of a fresh installation."""

from __future__ import annotations

from services.auth.clients import API_SCOPES, Clients
from shared.database import open_database


async def create_management_client(database_url: str) -> dict[str, str]:
    """A client that may do everything in the Management API: its id and secret."""
    async with open_database(database_url, pool_size=1, application_name="bootstrap") as database:
        client, secret = await Clients(database).create(
            name="Management",
            app_type="non_interactive",
            grant_types=("client_credentials",),
            api_scopes=API_SCOPES,
        )
    return {"client_id": client.client_id, "client_secret": secret or ""}
