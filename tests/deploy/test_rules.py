"""Every alert: quiet before, firing after, with its label and its runbook; and a changed threshold is noticed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.alert_cases import CASES, Case
from tests.deploy.chart import CHART, ROOT
from tests.deploy.prometheus import RULES, promtool
from tests.metric_names import known_metrics

RECORDING = CHART / "files" / "rules" / "recording.yaml"
_NAMES = [f"{case.alert}-{case.labels.get('window', case.severity)}" for case in CASES]


def alerts(path: Path) -> list[dict[str, Any]]:
    loaded = yaml.safe_load(path.read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"] if "alert" in rule]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What promtool says of each case, all in one run: "" when the alert is quiet or fires as it must.

    `raised`: the same with every threshold ten times as high.
    """
    folder = tmp_path_factory.mktemp("rules")
    tests: list[str] = []
    for number, case in enumerate(CASES):
        for kind, factor in (("as written", 1.0), ("raised", 10.0)):
            rules = own_rule(case, factor=factor)
            for what, series in (("quiet", case.quiet), ("firing", case.firing)):
                name = f"{_NAMES[number]} {kind} {what}".replace(" ", "_")
                (folder / f"{name}.rules.yaml").write_text(rules)
                (folder / f"{name}.recording.yaml").write_text(_recording(rules))
                (folder / f"{name}.yaml").write_text(yaml.safe_dump(_test(name, case, series)))
                tests.append(f"{name}.yaml")
    done = promtool("test", "rules", *tests, folder=folder)
    said = re.split(r"Unit Testing:\s+(\S+)\.yaml\n", done.stdout)
    found = {name: text.strip() for name, text in zip(said[1::2], said[2::2], strict=True)}
    assert len(tests) == len(found), done.stdout
    return {name: "" if text.endswith("SUCCESS") else text for name, text in found.items()}


def _recording(rules: str) -> str:
    """The recording rules that these rules read."""
    recording = yaml.safe_load(RECORDING.read_text())
    for group in recording["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule["record"] in rules]
    return yaml.safe_dump(recording)


def _test(name: str, case: Case, series: dict[str, str]) -> dict[str, Any]:
    """A test as promtool reads it."""
    expected = [{"exp_labels": case.labels}] if series is case.firing else []
    return {
        "rule_files": [f"{name}.rules.yaml", f"{name}.recording.yaml"],
        "evaluation_interval": case.interval,
        "tests": [
            {
                "interval": case.interval,
                "input_series": [
                    {"series": each, "values": values} for each, values in series.items()
                ],
                "alert_rule_test": [
                    {"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}
                ],
            }
        ],
    }


def _matches(rule: dict[str, Any], case: Case) -> bool:
    window = case.labels.get("window")
    return bool(rule["alert"] == case.alert and rule["labels"].get("window") == window)


def own_rule(case: Case, *, factor: float = 1.0) -> str:
    """The one rule of a case, without its annotations (promtool compares them word by word)."""
    path = CHART / "files" / "rules" / f"{case.file}.yaml"
    [rule] = [rule for rule in alerts(path) if _matches(rule, case)]
    rule = {name: value for name, value in rule.items() if name != "annotations"}
    if factor != 1.0:
        rule["expr"] = re.sub(
            r"(>|==|<) (\(?)([0-9.]+)(?=[^0-9.]|$)",
            lambda match: f"{match[1]} {match[2]}{(float(match[3]) or 0.5) * factor}",
            rule["expr"],
        )
    return yaml.safe_dump({"groups": [{"name": "one", "rules": [rule]}]})


def test_promtool_finds_nothing_to_say(tmp_path: Path) -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES, folder=tmp_path)

    assert 0 == done.returncode, done.stdout


def test_every_alert_has_a_case_a_file_of_its_own_and_a_runbook() -> None:
    written = {(path.stem, rule["alert"]) for path in RULES for rule in alerts(path)}

    assert {(case.file, case.alert) for case in CASES} == written
    for path in RULES:
        for rule in alerts(path):
            runbook = ROOT / rule["annotations"]["runbook"]
            assert runbook == ROOT / "docs" / "runbooks" / f"{path.stem}.md"
            assert runbook.read_text().startswith(f"# {rule['alert']}\n")
            assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.parametrize("name", _NAMES)
def test_it_is_quiet_before_and_fires_after(name: str, verdicts: dict[str, str]) -> None:
    assert "" == verdicts[f"{name}_as_written_quiet"]
    assert "" == verdicts[f"{name}_as_written_firing"]


@pytest.mark.parametrize("name", _NAMES)
def test_a_changed_threshold_is_noticed(name: str, verdicts: dict[str, str]) -> None:
    """Ten times as high it does not fire any more; the presence of a worker has no more and less."""
    assert ("", "") != (verdicts[f"{name}_raised_quiet"], verdicts[f"{name}_raised_firing"])


def test_every_threshold_was_raised() -> None:
    for case in CASES:
        assert own_rule(case, factor=10.0) != own_rule(case)


def test_rules_name_only_metrics_that_the_code_has() -> None:
    used: set[str] = set()
    for path in RULES:
        for name in re.findall(
            r"\b(?:auth|script_worker|event_loop|trickle)_\w+", path.read_text()
        ):
            used.add(name)

    assert len(used) > 12
    assert set() == used - known_metrics()
