"""The rival: what a team would write with Celery. Run by `celery -A tests.benchmarks.rivals.celery_app`.

`echo` is bare; `node_login` does what a login script does by starting `node script.js` per call.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from celery import Celery

app = Celery("rival", broker=os.environ["RIVAL_AMQP_URL"], backend="rpc://")
app.conf.update(
    task_acks_late=True,
    task_serializer="json",
    result_serializer="json",
    result_persistent=True,
    worker_prefetch_multiplier=16,
    task_default_queue="rival",
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="rival.echo")
def echo(body: dict[str, Any]) -> dict[str, Any]:
    """Answer with what came."""
    return body


@app.task(name="rival.node_login")
def node_login(body: dict[str, Any]) -> Any:
    """Run the script in a process of its own, as one does by hand."""
    node, script = os.environ["RIVAL_NODE"], os.environ["RIVAL_SCRIPT"]
    done = subprocess.run(
        [node, script],
        input=json.dumps(body),
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return json.loads(done.stdout)
