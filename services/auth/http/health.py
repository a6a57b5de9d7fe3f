"""`/livez` and `/readyz`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.auth.http.state import state


async def livez(_: Request) -> Response:
    """The event loop turns. Asks nothing else: an outage elsewhere must not restart us."""
    return JSONResponse({"status": "alive"})


async def readyz(http_request: Request) -> Response:
    """Whether logins can be answered, and if not why."""
    app = state(http_request)
    problems = ["draining"] if app.draining else app.problems()
    return JSONResponse(
        {"ready": not problems, "problems": problems}, status_code=503 if problems else 200
    )
