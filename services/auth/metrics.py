"""auth's metrics. Label values are closed sets; ids, users and addresses never become labels.

Names: docs/metrics.md, generated from here.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

MAX_CONNECTION_LABELS: Final = 50
"""Connections are the operator's to name: above this many they count as `other`."""
OTHER: Final = "other"
_labelled: set[str] = set()

HTTP_SECONDS: Final = Histogram(
    "auth_http_request_duration_seconds",
    "Time to answer a request.",
    ["route", "method", "status_class"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25),
)
HTTP_IN_FLIGHT: Final = Gauge("auth_http_requests_in_flight", "Requests being answered.")
LOGINS: Final = Counter(
    "auth_login_attempts_total", "Logins by what came of them.", ["connection", "result"]
)
MIGRATIONS: Final = Counter(
    "auth_user_migrations_total",
    "Users that a succeeded first login moved, or did not.",
    ["connection", "result"],
)
HASH_SECONDS: Final = Histogram(
    "auth_password_hash_duration_seconds",
    "Time to hash or verify, waiting for a thread included.",
    ["operation", "algorithm"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
HASH_QUEUE: Final = Gauge("auth_password_hash_queue_depth", "Hashes waiting or under way.")
RPC_SECONDS: Final = Histogram(
    "auth_script_rpc_duration_seconds",
    "Time from an execution's mint to its answer.",
    ["script", "outcome"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 20, 25),
)
RPC_IN_FLIGHT: Final = Gauge("auth_script_rpc_in_flight", "Executions waiting for their result.")
REPLIES: Final = Counter(
    "auth_script_rpc_replies_total",
    "Results received: first, duplicate, late (nobody waits any more), unreadable.",
    ["disposition"],
)
PUBLISHED: Final = Counter(
    "auth_amqp_publish_total", "Publishes by what the broker said.", ["exchange", "outcome"]
)
SHED: Final = Counter(
    "auth_executions_shed_total",
    "Executions refused at once (503): bulkhead, queue_full, no_worker, no_queue, broker_away,"
    " broker_blocked.",
    ["reason"],
)
WORKERS: Final = Gauge("auth_workers", "Workers that the broker sees.")
CONNECTED: Final = Gauge("auth_amqp_connected", "1 while the broker is connected.")
MAILS: Final = Counter(
    "auth_mails_total",
    "Mails by what came of a try: sent, retried, failed.",
    ["template", "result"],
)
TOKENS: Final = Counter("auth_tokens_issued_total", "Tokens issued.", ["grant", "alg"])
REAPED: Final = Counter(
    "auth_executions_reaped_total", "Executions decided without a worker, by detail.", ["detail"]
)
EVENTS: Final = Counter(
    "auth_events_total",
    "Events of the outbox: told, failed (told later), dropped after a day.",
    ["result"],
)
ORPHANS_HELD: Final = Gauge(
    "auth_orphans_held", "Orphaned results that wait until nobody can be waiting for them."
)
REPUBLISHED: Final = Counter("auth_results_republished_total", "Results the outbox published.")

BREAKER_STATE: Final = Gauge(
    "auth_circuit_breaker_state",
    "Of a connection, in this replica: 0 closed, 1 half-open, 2 open.",
    ["connection"],
)
BREAKER_CHANGES: Final = Counter(
    "auth_circuit_breaker_changes_total", "Changes of that state.", ["connection", "to"]
)

LIMITED: Final = Counter(
    "auth_limited_total", "Requests refused because a budget was used up.", ["budget"]
)
NEGATIVE_CACHE: Final = Counter(
    "auth_negative_cache_hits_total",
    "Logins denied again without asking the legacy store.",
    ["connection"],
)
DENIAL_FLOOR: Final = Gauge(
    "auth_denial_floor_seconds",
    "How long a denial takes at least, so that known and unknown users answer alike.",
    ["connection", "answer"],
)


def connection_label(name: str) -> str:
    """The connection's name as a label, capped."""
    if name in _labelled:
        return name
    if len(_labelled) < MAX_CONNECTION_LABELS:
        _labelled.add(name)
        return name
    return OTHER


_OF_CONNECTIONS: Final = (
    *(LOGINS, MIGRATIONS, BREAKER_STATE, BREAKER_CHANGES, NEGATIVE_CACHE, DENIAL_FLOOR),
)


def labelled_connections() -> frozenset[str]:
    """The names that are labels of their own now."""
    return frozenset(_labelled)


def forget_connection(name: str) -> None:
    """End the series of a connection that is gone; its label is free for another."""
    _labelled.discard(name)
    for metric in _OF_CONNECTIONS:
        metric.remove_by_labels({"connection": name})
