"""A dashboard in Grafana's JSON: rows of panels, each a query or some and a word on what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

_COLUMNS: Final = 24
_HEIGHT: Final = 8
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and the name of each line; `{{label}}` stands for a label's value."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Curves over time, or with `stat` one number."""

    title: str
    tells: str
    unit: str
    """Grafana's name: `s`, `reqps`, `percentunit`, `short`, `ops`."""
    queries: tuple[Query, ...]
    width: int = 8
    stat: bool = False
    stack: bool = False

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """As Grafana keeps it."""
        custom = {"stacking": {"mode": "normal" if self.stack else "none"}, "fillOpacity": 10}
        shown: dict[str, Any] = (
            {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}
            if self.stat
            else {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["max"]}}
        )
        return {
            "id": number,
            "type": "stat" if self.stat else "timeseries",
            "title": self.title,
            "description": self.tells,
            "datasource": _SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": _HEIGHT},
            "fieldConfig": {
                "defaults": {"unit": self.unit, "min": 0, "custom": {} if self.stat else custom},
                "overrides": [],
            },
            "options": shown,
            "targets": [
                {
                    "refId": chr(ord("A") + place),
                    "datasource": _SOURCE,
                    "expr": query.expr,
                    "legendFormat": query.legend,
                }
                for place, query in enumerate(self.queries)
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Panels fill rows from left to right."""

    uid: str
    title: str
    tells: str
    panels: tuple[Panel, ...]

    def json(self) -> dict[str, Any]:
        """As Grafana imports it; schema 39 is Grafana 11's, which later ones migrate by themselves."""
        placed, x, y = [], 0, 0
        for number, panel in enumerate(self.panels, 1):
            if x + panel.width > _COLUMNS:
                x, y = 0, y + _HEIGHT
            placed.append(panel.json(number, x, y))
            x += panel.width
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.tells,
            "tags": ["trickle"],
            "schemaVersion": 39,
            "editable": False,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "templating": {
                "list": [
                    {
                        "name": "datasource",
                        "label": "Prometheus",
                        "type": "datasource",
                        "query": "prometheus",
                    }
                ]
            },
            "annotations": {
                "list": [
                    {
                        "name": "Releases",
                        "datasource": _SOURCE,
                        "enable": True,
                        "iconColor": "blue",
                        "expr": "changes(sum(trickle_build_info)[1m:]) > 0",
                        "titleFormat": "release",
                    }
                ]
            },
            "panels": placed,
        }
