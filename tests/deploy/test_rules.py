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


def judged(case: Case, series: dict[str, str], rules: str, folder: Path) -> str:
    """What promtool finds wrong: "" when exactly the expected alert fires, or none for `quiet`."""
    (folder / "rules.yaml").write_text(rules)
    recording = yaml.safe_load(RECORDING.read_text())
    for group in recording["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule["record"] in rules]
    (folder / "recording.yaml").write_text(yaml.safe_dump(recording))
    expected = []
    if series is case.firing:
        text = next(
            rule["annotations"] for rule in alerts(CHART / "files" / "rules" / f"{case.file}.yaml")
            if _matches(rule, case)
        )  # fmt: skip
        assert (ROOT / text["runbook"]).is_file()
        expected = [{"exp_labels": case.labels}]
    test = {
        "rule_files": ["rules.yaml", "recording.yaml"],
        "evaluation_interval": case.interval,
        "tests": [
            {
                "interval": case.interval,
                "input_series": [
                    {"series": name, "values": values} for name, values in series.items()
                ],
                "alert_rule_test": [
                    {"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}
                ],
            }
        ],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    done = promtool("test", "rules", "test.yaml", folder=folder)
    return "" if done.returncode == 0 else done.stdout + done.stderr


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

    assert 0 == done.returncode, done.stdout + done.stderr


def test_every_alert_has_a_case_a_file_of_its_own_and_a_runbook() -> None:
    written = {(path.stem, rule["alert"]) for path in RULES for rule in alerts(path)}

    assert {(case.file, case.alert) for case in CASES} == written
    for path in RULES:
        for rule in alerts(path):
            runbook = ROOT / rule["annotations"]["runbook"]
            assert runbook == ROOT / "docs" / "runbooks" / f"{path.stem}.md"
            assert runbook.read_text().startswith(f"# {rule['alert']}\n")
            assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.parametrize("case", CASES, ids=_NAMES)
def test_it_is_quiet_before_and_fires_after(case: Case, tmp_path: Path) -> None:
    assert "" == judged(case, case.quiet, own_rule(case), tmp_path)
    assert "" == judged(case, case.firing, own_rule(case), tmp_path)


@pytest.mark.parametrize("case", CASES, ids=_NAMES)
def test_a_changed_threshold_is_noticed(case: Case, tmp_path: Path) -> None:
    """Ten times as high it does not fire any more; the presence of a worker has no more and less."""
    raised = own_rule(case, factor=10.0)

    assert raised != own_rule(case)
    both = (judged(case, case.quiet, raised, tmp_path), judged(case, case.firing, raised, tmp_path))
    assert ("", "") != both


def test_rules_name_only_metrics_that_the_code_has() -> None:
    used: set[str] = set()
    for path in RULES:
        for name in re.findall(
            r"\b(?:auth|script_worker|event_loop|trickle)_\w+", path.read_text()
        ):
            used.add(name)

    assert len(used) > 12
    assert set() == used - known_metrics()
