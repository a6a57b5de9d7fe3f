"""What each alert is quiet about, and what makes it fire: series as promtool writes them.

`a+bxn`: begins at a, grows by b, n times; one sample a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An alert under test."""

    file: str
    alert: str
    quiet: dict[str, str]
    """Series of a healthy installation, in which nothing fires at `at`."""
    firing: dict[str, str]
    """Series in which it does."""
    labels: dict[str, str]
    """The labels of one alert that fires."""
    at: str = "1h"
    interval: str = "1m"
    severity: str = field(default="ticket")


def _logins(good: float, bad: float, length: int = 120) -> dict[str, str]:
    return {
        'auth_login_attempts_total{connection="a",result="success"}': f"0+{good}x{length}",
        'auth_login_attempts_total{connection="a",result="unavailable"}': f"0+{bad}x{length}",
        # A broken store and wrong passwords are no fault of ours, however many.
        'auth_login_attempts_total{connection="b",result="breaker_open"}': f"0+{good}x{length}",
        'auth_login_attempts_total{connection="b",result="wrong_password"}': f"0+{good}x{length}",
    }


def _burn(bad: float, window: str, at: str, severity: str) -> Case:
    # A window that is longer than the series is judged by what there is of it.
    length = 80
    return Case(
        file="login-error-budget-burn",
        alert="LoginErrorBudgetBurn",
        quiet=_logins(2500, 0.9 * bad, length),
        firing=_logins(2500, 1.1 * bad, length),
        labels={"severity": severity, "window": window},
        at=at,
        interval="5m",
        severity=severity,
    )


def _histogram(
    name: str, buckets: dict[str, int], labels: str = "", length: int = 120
) -> dict[str, str]:
    inside = f"{labels}," if labels else ""
    return {
        f'{name}_bucket{{{inside}le="{le}"}}': f"0+{step}x{length}" for le, step in buckets.items()
    }


_FAST: Final = {"1": 100, "5": 100, "10": 100, "25": 100, "+Inf": 100}
_SLOW: Final = {"1": 0, "5": 90, "10": 100, "25": 100, "+Inf": 100}
_TOKEN: Final = 'route="/oauth/token",method="POST",status_class="2xx"'
_FAILS: Final = "script_worker_execution_duration_seconds_count"

CASES: Final = (
    # Three of four counted logins in `_logins` share the denominator: 7,500 and the bad ones.
    _burn(7500 * 14.4 * 0.001, "1h", "5h", "page"),
    _burn(7500 * 6 * 0.001, "6h", "5h", "page"),
    _burn(7500 * 3 * 0.001, "1d", "5h", "ticket"),
    _burn(7500 * 1 * 0.001, "3d", "5h", "ticket"),
    Case(
        file="logins-slow",
        alert="LoginsSlow",
        quiet=_histogram("auth_http_request_duration_seconds", _FAST, _TOKEN),
        firing=_histogram("auth_http_request_duration_seconds", _SLOW, _TOKEN),
        labels={"severity": "ticket"},
    ),
    Case(
        file="no-workers",
        alert="NoScriptWorkers",
        quiet={
            'script_worker_amqp_connected{instance="w1"}': "1x120",
            'script_worker_amqp_connected{instance="w2"}': "0x120",
        },
        firing={'script_worker_amqp_connected{instance="w1"}': "1x30 0x90"},
        labels={"severity": "page"},
        severity="page",
    ),
    Case(
        file="broker-disconnected",
        alert="BrokerDisconnected",
        quiet={'auth_amqp_connected{instance="a1",job="auth"}': "1x120"},
        firing={
            'auth_amqp_connected{instance="a1",job="auth"}': "1x120",
            'auth_amqp_connected{instance="a2",job="auth"}': "1x30 0x90",
        },
        labels={"severity": "page", "instance": "a2", "job": "auth"},
        severity="page",
    ),
    Case(
        file="queue-wait",
        alert="RequestsWait",
        quiet=_histogram("script_worker_queue_wait_seconds", _FAST),
        firing=_histogram("script_worker_queue_wait_seconds", _SLOW),
        labels={"severity": "page"},
        severity="page",
    ),
    Case(
        file="slots-exhausted",
        alert="SlotsExhausted",
        quiet={
            'script_worker_slots{state="total"}': "16x120",
            'script_worker_slots{state="busy"}': "14x120",
        },
        firing={
            'script_worker_slots{state="total"}': "16x120",
            'script_worker_slots{state="busy"}': "16x120",
        },
        labels={"severity": "ticket"},
    ),
    Case(
        file="executions-reaped",
        alert="ExecutionsReaped",
        quiet={'auth_executions_reaped_total{detail="lease_lost"}': "0+2x120"},
        firing={'auth_executions_reaped_total{detail="lease_lost"}': "0+5x120"},
        labels={"severity": "ticket", "detail": "lease_lost"},
    ),
    Case(
        file="results-republished",
        alert="ResultsRepublished",
        quiet={"auth_results_republished_total": "0+4x120"},
        firing={"auth_results_republished_total": "0+9x120"},
        labels={"severity": "ticket"},
    ),
    Case(
        file="runners-crash",
        alert="RunnersCrash",
        quiet={
            'script_worker_runner_exits_total{reason="crash"}': "0+4x120",
            'script_worker_runner_exits_total{reason="uses"}': "0+99x120",
        },
        firing={'script_worker_runner_exits_total{reason="out_of_memory"}': "0+9x120"},
        labels={"severity": "ticket", "reason": "out_of_memory"},
    ),
    Case(
        file="scripts-fail",
        alert="ScriptsFail",
        quiet={
            f'{_FAILS}{{action="login",outcome="succeeded"}}': "0+50x120",
            f'{_FAILS}{{action="login",outcome="denied"}}': "0+40x120",
            f'{_FAILS}{{action="login",outcome="script_error"}}': "0+10x120",
        },
        firing={
            f'{_FAILS}{{action="login",outcome="succeeded"}}': "0+70x120",
            f'{_FAILS}{{action="login",outcome="timed_out"}}': "0+30x120",
        },
        labels={"severity": "ticket", "action": "login"},
    ),
    Case(
        file="legacy-store-broken",
        alert="LegacyStoreBroken",
        quiet={
            'auth_circuit_breaker_state{connection="a",instance="1"}': "0x120",
            'auth_circuit_breaker_state{connection="b",instance="1"}': "1x120",
        },
        firing={
            'auth_circuit_breaker_state{connection="a",instance="1"}': "0x120",
            # Every probe of a store that does not answer takes its 20 seconds.
            'auth_circuit_breaker_state{connection="b",instance="2"}': "2 2 1 " * 160,
        },
        labels={"severity": "page", "connection": "b"},
        at="30m",
        interval="15s",
        severity="page",
    ),
    Case(
        file="imports-refused",
        alert="ImportsRefused",
        quiet={'auth_login_attempts_total{connection="a",result="wrong_password"}': "0+9x120"},
        firing={'auth_login_attempts_total{connection="a",result="invalid_profile"}': "0+1x120"},
        labels={"severity": "ticket", "connection": "a", "result": "invalid_profile"},
        at="90m",
    ),
    Case(
        file="executions-shed",
        alert="ExecutionsShed",
        quiet={'auth_executions_shed_total{reason="bulkhead"}': "0+50x120"},
        firing={'auth_executions_shed_total{reason="bulkhead"}': "0+90x120"},
        labels={"severity": "ticket", "reason": "bulkhead"},
    ),
    Case(
        file="hash-queue",
        alert="HashQueue",
        quiet={'auth_password_hash_queue_depth{instance="a1"}': "15x120"},
        firing={'auth_password_hash_queue_depth{instance="a1"}': "30x120"},
        labels={"severity": "ticket", "instance": "a1"},
    ),
    Case(
        file="event-loop-lag",
        alert="EventLoopLag",
        quiet=_histogram(
            "event_loop_lag_seconds",
            {"0.1": 99, "0.25": 100, "1": 100, "+Inf": 100},
            'instance="a1"',
        ),
        firing=_histogram(
            "event_loop_lag_seconds",
            {"0.1": 90, "0.25": 90, "1": 100, "+Inf": 100},
            'instance="a1"',
        ),
        labels={"severity": "ticket", "instance": "a1"},
    ),
    Case(
        file="mails-fail",
        alert="MailsFail",
        quiet={'auth_mails_total{template="reset_password",result="retried"}': "0+1x120"},
        firing={'auth_mails_total{template="reset_password",result="failed"}': "0+1x120"},
        labels={"severity": "ticket", "template": "reset_password"},
    ),
    Case(
        file="isolation-degraded",
        alert="IsolationDegraded",
        quiet={
            'script_worker_isolation{instance="w1",level="full"}': "1x120",
            'script_worker_isolation{instance="w1",level="fs"}': "0x120",
        },
        firing={'script_worker_isolation{instance="w1",level="fs"}': "1x120"},
        labels={"severity": "ticket", "level": "fs"},
    ),
    Case(
        file="egress-denied",
        alert="EgressDenied",
        quiet={'script_worker_egress_connects_total{verdict="allowed"}': "0+99x120"},
        firing={'script_worker_egress_connects_total{verdict="not_listed"}': "0+9x120"},
        labels={"severity": "ticket"},
    ),
)
