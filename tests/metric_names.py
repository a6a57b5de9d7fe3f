"""The names under which both services' metrics are scraped."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, Info

import services.auth.metrics
import services.script_worker.metrics
import shared.telemetry

_SUFFIXES = {
    Counter: ("_total",),
    Histogram: ("_bucket", "_sum", "_count"),
    Gauge: ("",),
    Info: ("_info",),
}


def known_metrics() -> set[str]:
    """Every series name that code defines; histograms by their three."""
    found: set[str] = set()
    for module in (services.auth.metrics, services.script_worker.metrics, shared.telemetry):
        for metric in vars(module).values():
            for kind, suffixes in _SUFFIXES.items():
                if isinstance(metric, kind):
                    found |= {f"{metric._name}{suffix}" for suffix in suffixes}
    return found
