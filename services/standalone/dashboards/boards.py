"""The three dashboards: who logs in and moves, what scripts do, and whether messages arrive."""

from __future__ import annotations

from typing import Final

from services.standalone.dashboards.model import Dashboard, Panel, Query

_R: Final = "[$__rate_interval]"


def _rate(metric: str, by: str, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{where}{_R}))"


def _quantile(q: str, metric: str, where: str = "", by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{where}{_R})))"


def _share(part: str, whole: str) -> str:
    return f"{part} / clamp_min({whole}, 1e-9)"


def _rare(expr: str) -> str:
    """A counter that may never have counted: nothing is zero then, not a hole."""
    return f"({expr} or vector(0))"


_TOKEN: Final = '{route="/oauth/token"}'  # noqa: S105 - a route
_OURS: Final = '{result=~"unavailable|capacity|expired|indeterminate"}'
_LEGACY: Final = (
    '{result=~"script_error|script_timeout|breaker_open|contract_violation|crashed|out_of_memory'
    '|egress_denied|too_large|misconfigured"}'
)
_VERDICTS: Final = '{result=~"success|wrong_password|user_unknown|denied|mfa_required"}'
_LOGINS: Final = f"sum(rate(auth_login_attempts_total{_R}))"

LOGINS: Final = Dashboard(
    uid="trickle-logins",
    title="Trickle: logins and migration",
    tells="Who logs in, who moves, and what the legacy store costs them.",
    panels=(
        Panel(
            title="Logins answered",
            tells="Share of logins that did not fail by our own fault; the objective is 99.9 %.",
            unit="percentunit",
            stat=True,
            width=6,
            queries=(
                Query(
                    "1 - "
                    + _share(_rare(f"sum(rate(auth_login_attempts_total{_OURS}{_R}))"), _LOGINS),
                    "answered",
                ),
            ),
        ),
        Panel(
            title="Users moved",
            tells="Users imported by a first login, since the counters began.",
            unit="short",
            stat=True,
            width=6,
            queries=(Query('sum(auth_user_migrations_total{result="imported"})', "moved"),),
        ),
        Panel(
            title="Already moved",
            tells="Share of successful logins that needed no script: the legacy store's remaining life.",
            unit="percentunit",
            stat=True,
            width=6,
            queries=(
                Query(
                    "1 - "
                    + _share(
                        _rare(
                            f'sum(rate(auth_script_rpc_duration_seconds_count{{script="login",outcome="succeeded"}}{_R}))'
                        ),
                        f'sum(rate(auth_login_attempts_total{{result="success"}}{_R}))',
                    ),
                    "local",
                ),
            ),
        ),
        Panel(
            title="Breakers open",
            tells="Connections whose legacy store is left alone, in any replica.",
            unit="short",
            stat=True,
            width=6,
            queries=(
                Query(
                    _rare("sum(max by (connection) (auth_circuit_breaker_state) == bool 2)"), "open"
                ),
            ),
        ),
        Panel(
            title="Logins",
            tells="By what came of them.",
            unit="reqps",
            stack=True,
            width=12,
            queries=(Query(_rate("auth_login_attempts_total", "result"), "{{result}}"),),
        ),
        Panel(
            title="Verdicts against failures",
            tells="What scripts and we decided, what the legacy store could not, and what we could not.",
            unit="reqps",
            width=12,
            queries=(
                Query(_rare(f"sum(rate(auth_login_attempts_total{_VERDICTS}{_R}))"), "verdicts"),
                Query(
                    _rare(f"sum(rate(auth_login_attempts_total{_LEGACY}{_R}))"),
                    "the store's failures",
                ),
                Query(_rare(f"sum(rate(auth_login_attempts_total{_OURS}{_R}))"), "ours"),
            ),
        ),
        Panel(
            title="Progress by connection",
            tells="Users imported in an hour: it falls as everybody has moved.",
            unit="short",
            queries=(
                Query(
                    'sum by (connection) (increase(auth_user_migrations_total{result="imported"}[1h]))',
                    "{{connection}}",
                ),
            ),
        ),
        Panel(
            title="Time of a login",
            tells="Answers of the token endpoint.",
            unit="s",
            queries=tuple(
                Query(_quantile(q, "auth_http_request_duration_seconds", _TOKEN), f"p{name}")
                for q, name in (("0.5", "50"), ("0.95", "95"), ("0.99", "99"))
            ),
        ),
        Panel(
            title="What the legacy store costs",
            tells="From minting an execution to its answer, by script.",
            unit="s",
            queries=(
                Query(
                    _quantile("0.5", "auth_script_rpc_duration_seconds", by="script"),
                    "{{script}} p50",
                ),
                Query(
                    _quantile("0.99", "auth_script_rpc_duration_seconds", by="script"),
                    "{{script}} p99",
                ),
            ),
        ),
        Panel(
            title="Password hashes",
            tells="Time to hash or verify, waiting for a thread included.",
            unit="s",
            queries=(
                Query(
                    _quantile("0.5", "auth_password_hash_duration_seconds", by="operation"),
                    "{{operation}} p50",
                ),
                Query(
                    _quantile("0.99", "auth_password_hash_duration_seconds", by="operation"),
                    "{{operation}} p99",
                ),
            ),
        ),
        Panel(
            title="Refused at once",
            tells="Executions shed, by reason: back-pressure at work.",
            unit="reqps",
            queries=(Query(_rare(_rate("auth_executions_shed_total", "reason")), "{{reason}}"),),
        ),
        Panel(
            title="HTTP",
            tells="Requests by class of status.",
            unit="reqps",
            stack=True,
            queries=(
                Query(
                    _rate("auth_http_request_duration_seconds_count", "status_class"),
                    "{{status_class}}",
                ),
            ),
        ),
    ),
)

EXECUTIONS: Final = Dashboard(
    uid="trickle-executions",
    title="Trickle: script executions",
    tells="What scripts do, where their time goes, and how their processes fare.",
    panels=(
        Panel(
            title="Executions",
            tells="By action.",
            unit="ops",
            stack=True,
            queries=(
                Query(
                    _rate("script_worker_execution_duration_seconds_count", "action"), "{{action}}"
                ),
            ),
        ),
        Panel(
            title="Outcomes",
            tells="Verdicts (succeeded, denied) and failures, never mixed.",
            unit="ops",
            stack=True,
            queries=(
                Query(
                    _rate("script_worker_execution_duration_seconds_count", "outcome"),
                    "{{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Broken callback rules",
            tells="Violations by kind; the script still had its outcome.",
            unit="ops",
            queries=(Query(_rare(_rate("script_worker_violations_total", "kind")), "{{kind}}"),),
        ),
        Panel(
            title="Where the time goes",
            tells="Mean of each part: waiting in the queue, running, and all that auth sees.",
            unit="s",
            width=12,
            queries=tuple(
                Query(
                    _share(f"sum(rate({metric}_sum{_R}))", f"sum(rate({metric}_count{_R}))"), name
                )
                for metric, name in (
                    ("script_worker_queue_wait_seconds", "queued"),
                    ("script_worker_execution_duration_seconds", "ran"),
                    ("auth_script_rpc_duration_seconds", "round trip"),
                )
            ),
        ),
        Panel(
            title="Time of a script",
            tells="99th percentile by action.",
            unit="s",
            width=12,
            queries=(
                Query(
                    _quantile("0.99", "script_worker_execution_duration_seconds", by="action"),
                    "{{action}}",
                ),
            ),
        ),
        Panel(
            title="Slots",
            tells="Executions in hand, and what could be.",
            unit="short",
            queries=(Query("sum by (state) (script_worker_slots)", "{{state}}"),),
        ),
        Panel(
            title="Warm hits",
            tells="Share of invocations that found a process of their own, warm or blank.",
            unit="percentunit",
            queries=(
                Query(
                    "sum by (source) (rate(script_worker_runner_leases_total[$__rate_interval]))"
                    " / on () group_left sum(rate(script_worker_runner_leases_total[$__rate_interval]))",
                    "{{source}}",
                ),
            ),
        ),
        Panel(
            title="Processes",
            tells="Node processes by state.",
            unit="short",
            stack=True,
            queries=(Query("sum by (state) (script_worker_runners)", "{{state}}"),),
        ),
        Panel(
            title="Why processes end",
            tells="Recycled by plan (uses, age, idle), or because they had to be.",
            unit="ops",
            queries=(
                Query(_rare(_rate("script_worker_runner_exits_total", "reason")), "{{reason}}"),
            ),
        ),
        Panel(
            title="Starting a process",
            tells="From the spawn to readiness; blanks hide it from callers.",
            unit="s",
            queries=(
                Query(_quantile("0.5", "script_worker_runner_start_duration_seconds"), "p50"),
                Query(_quantile("0.99", "script_worker_runner_start_duration_seconds"), "p99"),
            ),
        ),
        Panel(
            title="Isolation and egress",
            tells="Workers by the level of their sandbox; connects of scripts by verdict.",
            unit="short",
            queries=(
                Query("sum by (level) (script_worker_isolation)", "{{level}}"),
                Query(
                    _rare(_rate("script_worker_egress_connects_total", "verdict")),
                    "connects {{verdict}}",
                ),
            ),
        ),
    ),
)

DELIVERY: Final = Dashboard(
    uid="trickle-delivery",
    title="Trickle: delivery",
    tells="Whether requests and results arrive, and what the ledger had to put right.",
    panels=(
        Panel(
            title="Connected to the broker",
            tells="Processes of each service with a connection.",
            unit="short",
            stat=True,
            width=6,
            queries=(
                Query("sum(auth_amqp_connected)", "auth"),
                Query("sum(script_worker_amqp_connected)", "script worker"),
            ),
        ),
        Panel(
            title="In flight",
            tells="Executions that callers wait for.",
            unit="short",
            stat=True,
            width=6,
            queries=(Query("sum(auth_script_rpc_in_flight)", "waiting"),),
        ),
        Panel(
            title="Claims held",
            tells="Leases of workers on executions.",
            unit="short",
            stat=True,
            width=6,
            queries=(Query("sum(script_worker_leases)", "claims"),),
        ),
        Panel(
            title="Workers seen",
            tells="Workers that the broker sees, as auth is told.",
            unit="short",
            stat=True,
            width=6,
            queries=(Query("max(auth_workers)", "workers"),),
        ),
        Panel(
            title="Queue",
            tells="Time from a request's mint to its delivery.",
            unit="s",
            queries=(
                Query(_quantile("0.5", "script_worker_queue_wait_seconds"), "p50"),
                Query(_quantile("0.99", "script_worker_queue_wait_seconds"), "p99"),
            ),
        ),
        Panel(
            title="Deliveries",
            tells="How workers settled what they were given; `duplicate` counts copies of a decided request.",
            unit="ops",
            queries=(
                Query(_rate("script_worker_messages_total", "disposition"), "{{disposition}}"),
            ),
        ),
        Panel(
            title="Results at auth",
            tells="first: somebody waited. Copies are dropped; late ones had nobody waiting.",
            unit="ops",
            queries=(
                Query(_rate("auth_script_rpc_replies_total", "disposition"), "{{disposition}}"),
            ),
        ),
        Panel(
            title="Publishes",
            tells="By what the broker said: requests of auth, results of workers.",
            unit="ops",
            queries=(
                Query(
                    _rate("auth_amqp_publish_total", "exchange, outcome"),
                    "{{exchange}} {{outcome}}",
                ),
                Query(_rate("script_worker_reply_publish_total", "outcome"), "results {{outcome}}"),
            ),
        ),
        Panel(
            title="The reaper",
            tells="Executions decided without a worker: lost leases, dead letters, what nobody took.",
            unit="ops",
            queries=(Query(_rare(_rate("auth_executions_reaped_total", "detail")), "{{detail}}"),),
        ),
        Panel(
            title="The outbox",
            tells="Results published again from the ledger.",
            unit="ops",
            queries=(Query(f"sum(rate(auth_results_republished_total{_R}))", "republished"),),
        ),
        Panel(
            title="Event loops",
            tells="How late the loops of both services wake up, 99th percentile.",
            unit="s",
            queries=(Query(_quantile("0.99", "event_loop_lag_seconds", by="job"), "{{job}}"),),
        ),
    ),
)

BOARDS: Final = {"logins": LOGINS, "executions": EXECUTIONS, "delivery": DELIVERY}
