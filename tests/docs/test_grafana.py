"""The dashboard, the alerts and the page name metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

from goque.storage.contract import LimitLoad, QueueDepth
from goque.task_rules.limits import Limits, Rate
from goque_supervisor.metrics.counters import Counts
from goque_supervisor.metrics.prometheus import QueueSample, Snapshot, families

DOCS = Path(__file__).resolve().parents[2] / "docs"
GROUP = {"workers": 1, "ready": 1, "fetcher": True, "held": False, "restarts": {}}
SNAPSHOT = Snapshot(
    {"types": {"mail": GROUP}, "child_restarts": {"fetcher": 1}},
    {"mail": Counts({"processing:0": 1.0, "attempts:0": 1.0, "payload:0": 1.0})},
    QueueSample(
        [QueueDepth("mail", "new", 1)], limits={"mail": LimitLoad(Limits(2, rate=Rate(1, per=60)), running=1)}
    ),
    {("django.default", "shop.tasks.add"): Counts({"processing:0": 1.0})},
    {("mail", "page-*"): Counts({"steps": 1.0, "step_seconds": 0.5})},
)


def samples() -> dict[str, set[str]]:
    """Every sample of the endpoint, with the names of its labels."""
    found: dict[str, set[str]] = {}
    for metric in families(SNAPSHOT):
        for sample in metric.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def named_in(expression: str) -> list[str]:
    return re.findall(r"goque_[a-z_]+", expression)


def labels_in(expression: str) -> set[str]:
    matchers = re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", expression)
    grouped = re.findall(r"(?:by|on) \(([^)]*)\)", expression)
    return {*matchers, *(name.strip() for names in grouped for name in names.split(","))}


def check(expression: str) -> None:
    known = samples()
    names = named_in(expression)
    assert names or "up{" in expression, expression
    for name in names:
        assert name in known, expression
    allowed = set().union(*(known[name] for name in names)) | {"job", "instance"}
    assert labels_in(expression) <= allowed, expression
    assert expression.count("(") == expression.count(")"), expression


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads((DOCS / "grafana" / "goque.json").read_text("utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(expressions) > 20
    for expression in expressions:
        check(expression.replace("$__rate_interval", "5m").replace("$task_type", ".*"))
    assert all(panel["description"] for panel in panels)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_each_alert_asks_for_metrics_that_there_are_and_says_why() -> None:
    text = (DOCS / "grafana" / "alerts.yaml").read_text("utf-8")
    alerts = re.split(r"^ +- alert: ", text, flags=re.MULTILINE)[1:]
    assert len(alerts) == 10
    for alert in alerts:
        expression = re.search(r"expr: (?:>-\n)?(.*?)\n +(?:for|labels):", alert, re.DOTALL)
        assert expression is not None, alert
        check(expression[1])
        assert re.search(r"reason: \S.{20}", alert), alert
        assert re.search(r"do: \S", alert), alert


def test_the_page_lists_every_metric() -> None:
    page = (DOCS / "metrics.md").read_text("utf-8")
    rows = re.findall(r"^\| `(goque_\w+)` \| ([^|]*) \|", page, re.MULTILINE)
    told = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    endings = re.compile("_(bucket|count|sum)$")
    there = {
        endings.sub("", name): labels - {"le"}
        for name, labels in samples().items()
        if not name.endswith("_created")
    }
    histograms = {name for name in told if not name.endswith("_total")}
    assert {name: labels for name, labels in told.items() if name in there or name in histograms} == told
    assert told == {
        name if name in told else next(full for full in told if full.startswith(name)): labels
        for name, labels in there.items()
    }
