"""`./dev docs`: everything under `docs/` that can be derived from code, derived. `--check` compares."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from pydantic.fields import FieldInfo

import services.auth.metrics
import services.script_worker.metrics
import shared.telemetry
from services.auth.http import openapi
from services.auth.http.surface import OPERATIONS
from services.auth.settings import AuthSettings
from services.script_worker.settings import WorkerSettings
from services.standalone import asyncapi, broker_examples
from services.standalone.dashboards.boards import BOARDS
from services.standalone.lint.rules import RULES
from shared.execution_states import render_markdown
from shared.settings import ServiceSettings, env_name

DOCS: Final = Path(__file__).parents[2] / "docs"
_DASHBOARDS: Final = "../deploy/chart/files/dashboards"
"""Where the chart takes files from."""
_BY: Final = "by `./dev docs`; do not edit."
_METRICS: Final[dict[str, ModuleType]] = {
    "auth": services.auth.metrics,
    "script worker": services.script_worker.metrics,
    "both": shared.telemetry,
}


def documents() -> dict[str, str]:
    """Path under `docs/` to content."""
    return {
        "execution-states.md": render_markdown(),
        "settings.md": settings(),
        "metrics.md": metrics(),
        "lint.md": lint(),
        "contracts/asyncapi.json": _json(asyncapi.document()),
        "contracts/openapi.json": _json(openapi.document(OPERATIONS, "https://auth.example/")),
        "contracts/execution-request.schema.json": _schema("ExecutionRequest"),
        "contracts/execution-result.schema.json": _schema("ExecutionResult"),
        "contracts/event.schema.json": _schema(*asyncapi.EVENTS),
        "../deploy/examples/rabbitmq.yaml": broker_examples.operator_objects(),
        "../deploy/examples/rabbitmq-definitions.json": broker_examples.definitions(),
        **{f"{_DASHBOARDS}/{name}.json": _json(board.json()) for name, board in BOARDS.items()},
    }


def stale() -> list[str]:
    """The documents that differ from what the code says."""
    return [
        path
        for path, content in documents().items()
        if not (DOCS / path).exists() or (DOCS / path).read_text(encoding="utf-8") != content
    ]


def settings() -> str:
    """What an operator can set."""
    lines = [
        "# Settings",
        "",
        f"Generated from the settings classes {_BY}",
        "",
        "Environment variables, read once when a service starts; all problems are reported at once",
        "and the exit code is 78. `python -m services.auth check` and `python -m"
        " services.script_worker check` try them out.",
    ]
    for title, kind, known in (
        ("Both services", ServiceSettings, ()),
        ("auth", AuthSettings, ServiceSettings.model_fields),
        ("script worker", WorkerSettings, ServiceSettings.model_fields),
    ):
        lines += [
            "",
            f"## {title}",
            "",
            "| name | default | limits | meaning |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| `{env_name(kind, (name,))}` | {_default(field)} | {_limits(field)} "
            f"| {_cell(field.description or '')} |"
            for name, field in kind.model_fields.items()
            if name not in known
        ]
    return "\n".join([*lines, ""])


def metrics() -> str:
    """What is measured."""
    lines = ["# Metrics", "", f"Generated from the metrics modules {_BY}", ""]
    lines += ["Label values are closed sets; ids, users and addresses never become labels."]
    for title, module in _METRICS.items():
        lines += ["", f"## {title}", "", "| name | kind | labels | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {_cell(text)} |"
            for name, kind, labels, text in measured(module)
        ]
    return "\n".join([*lines, ""])


def lint() -> str:
    """What `trickle lint` looks for."""
    lines = ["# trickle lint", "", f"Generated from the rules {_BY}", ""]
    lines += [
        "`trickle lint SCRIPT…` reads action scripts without running them; a folder is searched for",
        "files named after actions. Exit code 1: something is an error (`--fail-on` changes that).",
        "",
        "| rule | severity | meaning | what to do |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {rule.severity} | {_cell(rule.meaning)} | {_cell(rule.advice)} |"
        for name, rule in RULES.items()
    ]
    return "\n".join([*lines, ""])


def measured(module: ModuleType) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Name as dashboards write it, kind, labels and meaning of each metric of a module."""
    for value in vars(module).values():
        if isinstance(value, MetricWrapperBase):
            for family in value.describe():
                suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
                labels: tuple[str, ...] = value._labelnames  # noqa: SLF001 - there is no other way
                yield family.name + suffix, family.type, labels, family.documentation


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    match field.default:
        case None:
            return ""
        case timedelta() as budget:
            return f"`{budget.total_seconds():g}` s"
        case SecretStr():
            return "(secret)"
        case other:
            return f"`{other}`"


def _limits(field: FieldInfo) -> str:
    parts: list[str] = []
    for rule in field.metadata:
        for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤")):
            if (bound := getattr(rule, attribute, None)) is not None:
                parts.append(f"{sign} {_plain(bound)}")
        if pattern := getattr(rule, "pattern", None):
            parts.append(f"`{_cell(str(pattern))}`")
    if choices := getattr(field.annotation, "__args__", ()):
        parts += [" ".join(f"`{choice}`" for choice in choices if isinstance(choice, str))]
    return ", ".join(filter(None, parts))


def _plain(bound: object) -> str:
    return f"{bound.total_seconds():g} s" if isinstance(bound, timedelta) else str(bound)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _schema(*names: str) -> str:
    """Of a message; of several, any of them."""
    definitions = asyncapi.schemas("#/$defs/{model}")
    roots = [{"$ref": f"#/$defs/{name}"} for name in names]
    return _json(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **(roots[0] if len(roots) == 1 else {"oneOf": roots}),
            "$defs": {key: definitions[key] for key in _reachable(definitions, *names)},
        }
    )


def _reachable(definitions: Mapping[str, Any], *names: str) -> list[str]:
    """The definitions that `names` need, themselves included."""
    found, waiting = set(names), list(names)
    while waiting:
        text = json.dumps(definitions[waiting.pop()])
        for other in definitions:
            if other not in found and f'"#/$defs/{other}"' in text:
                found.add(other)
                waiting.append(other)
    return sorted(found)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write, or with `--check` say what is stale."""
    parser = argparse.ArgumentParser(prog="./dev docs", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; 1 when something is stale"
    )
    different = stale()
    if parser.parse_args().check:
        for path in different:
            print(f"docs/{path} is stale: run ./dev docs", file=sys.stderr)
        return 1 if different else 0
    for path, content in documents().items():
        (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / path).write_text(content, encoding="utf-8")
    print(f"written: {', '.join(different) or 'nothing, all is fresh'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
