"""The plan from a project's own history: replayed as plain Python replays it, and honest where there is none."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import yaml

from xp_pipeline.design.history import History
from xp_pipeline.lifecycle.planning.history import Past, look_back
from xp_pipeline.lifecycle.planning.plan import make_plan
from xp_pipeline.lifecycle.preview import previewed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.stats.order import OrderStatistics
from xp_pipeline.stats.quantiles import quantile
from xp_pipeline_tests.projects import csv_text, project

ZONE = ZoneInfo("Europe/Berlin")
START = datetime(2026, 4, 6, tzinfo=ZONE)
DAYS = 28
Event = dict[str, Any]

METRICS: list[dict[str, Any]] = [
    {"name": "spend", "type": "mean", "value": "amount"},
    {"name": "bought", "type": "proportion", "where": {"event": "buy"}, "mature": True}
    | {"window": {"kind": "conversion", "length": "3d"}},
    {"name": "capped", "type": "revenue", "value": "amount", "cap": {"value": 12}, "mature": True}
    | {"window": {"kind": "conversion", "length": "3d"}},
    {"name": "adjusted", "type": "mean", "value": "amount", "covariates": [{"lookback": "7d"}]}
    | {"window": {"kind": "conversion", "length": "3d"}, "mature": True},
    {"name": "per_event", "type": "ratio", "numerator": {"source": "events", "value": "amount"}}
    | {"denominator": {"source": "events", "aggregate": "count"}},
    {"name": "p90", "type": "quantile", "quantile": 0.9, "value": "amount"},
]


def _history(seed: int = 1, people: int = 500) -> list[Event]:
    """Events of the weeks before the start, across a change of clocks; people differ and come again."""
    draw = random.Random(seed)
    level = [draw.lognormvariate(0, 0.5) for _ in range(people)]
    first = (START - timedelta(days=DAYS + 8)).astimezone(UTC)
    hours = (DAYS + 8) * 24 - 1
    events = []
    for _ in range(people * 6):
        user = draw.randrange(people)
        at = first + timedelta(hours=draw.randrange(hours), minutes=draw.randrange(60))
        event, amount = draw.choice(["buy", "visit"]), round(5 * level[user] * draw.random(), 3)
        events.append({"user": user, "ts": at, "event": event, "amount": amount, "village": f"v{user % 40}"})
    return events


def _project(root: Path, events: list[Event], **changes: Any) -> Workspace:
    """A project of events and exposures, the experiment ahead."""
    for folder in ("sources", "metrics", "experiments"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    columns = {"user": "integer", "ts": "timestamp", "event": "text", "amount": "number", "village": "text"}
    exposed = {"user": "integer", "ts": "timestamp", "variant": "text", "village": "text"}
    experiment: dict[str, Any] = {
        "id": "trial", "start": START.replace(tzinfo=None), "end": (START + timedelta(days=14)).replace(tzinfo=None),
        "assignment": {"control": "a", "weights": {"a": 0.5, "b": 0.25, "c": 0.25}},
        "population": {"source": "exposures", "arm": "variant"},
        "metrics": {"primary": [{"metric": "spend", "mde": "10%"}],
                    "secondary": ["bought", "capped", "adjusted", "per_event", "p90"]},
    } | changes  # fmt: skip
    files: dict[str, Any] = {
        "xp.yaml": {"name": "test", "timezone": "Europe/Berlin"},
        "sources/events.yaml": {"name": "events", "kind": "event_log", "path": "events.csv", "unit": "user",
                                "timestamp": "ts", "columns": columns},
        "sources/exposures.yaml": {"name": "exposures", "kind": "exposure_log", "path": "exposures.csv",
                                   "unit": "user", "timestamp": "ts", "columns": exposed},
        "metrics/metrics.yaml": {"defaults": {}, "metrics": [_sourced(metric) for metric in METRICS]},
        "experiments/trial.yaml": experiment,
    }  # fmt: skip
    for name, content in files.items():
        (root / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    closing = {"user": -1, "ts": START + timedelta(days=1), "event": "none", "amount": 0.0, "village": "v"}
    rows = [{**e, "ts": e["ts"].astimezone(UTC).isoformat()} for e in [*events, closing]]
    (root / "events.csv").write_text(csv_text(rows), encoding="utf-8")
    (root / "exposures.csv").write_text(
        f"user,ts,variant,village\n1,{(START + timedelta(hours=1)).astimezone(UTC).isoformat()},a,v1\n",
        encoding="utf-8",
    )
    return Workspace.open(root, by="test")


def _sourced(metric: dict[str, Any]) -> dict[str, Any]:
    return metric if metric["type"] == "ratio" else {"source": "events", **metric}


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    workspace = _project(tmp_path_factory.mktemp("past"), _history())
    return look_back(workspace, previewed(workspace, "trial"))


def _midnight(day: int) -> datetime:
    """The end of a day of the history, by the wall clock of Berlin."""
    return START - timedelta(days=DAYS - day)


def _entries(until: datetime) -> dict[int, datetime]:
    """First event of every person in the history, up to a moment."""
    found: dict[int, datetime] = {}
    for event in _history():
        if _midnight(0) <= event["ts"] < until:
            found[event["user"]] = min(event["ts"], found.get(event["user"], event["ts"]))
    return found


def _values(day: int, value: Callable[[Event], float], window: timedelta | None = None) -> dict[int, float]:
    """Per-unit sums of an experiment that began with the history and ends with a day."""
    until = _midnight(day)
    entered = {u: t for u, t in _entries(until).items() if window is None or t + window <= until}
    sums = dict.fromkeys(entered, 0.0)
    for event in _history():
        t0 = entered.get(event["user"])
        if t0 is not None and t0 <= event["ts"] < (until if window is None else t0 + window):
            sums[event["user"]] += value(event)
    return sums


def _measured(past: Past, name: str) -> History:
    found = past.metrics[name]
    assert isinstance(found, History), found
    return found


def test_units_enter_once_by_the_wall_clock(past: Past) -> None:
    assert past.span is not None
    assert past.traffic is not None
    assert past.span.days == DAYS
    assert past.span.looked_back
    assert past.span.begin == _midnight(0)
    assert past.traffic.units.tolist() == [len(_entries(_midnight(day))) for day in range(1, DAYS + 1)]


def test_an_open_window_is_measured_at_every_duration_and_its_variance_grows(past: Past) -> None:
    found = _measured(past, "spend")
    assert found.durations.tolist() == [1, 2, 3, 5, 7, 10, 14, 21, 28]
    for day in (1, 7, 28):
        values = list(_values(day, lambda event: event["amount"]).values())
        assert found.baseline(day).mean == pytest.approx(np.mean(values), rel=1e-9)
        assert found.baseline(day).variance == pytest.approx(np.var(values, ddof=1), rel=1e-9)
        assert found.units(day) == len(values)
    assert found.baseline(28).variance > 2 * found.baseline(1).variance


def test_only_complete_windows_count(past: Past) -> None:
    found = _measured(past, "bought")
    three = timedelta(days=3)
    values = [min(v, 1.0) for v in _values(DAYS, lambda e: float(e["event"] == "buy"), three).values()]
    assert found.baseline(DAYS).mean == pytest.approx(np.mean(values), rel=1e-12)
    assert found.kind == "proportion"
    for day in (5, 12, DAYS):
        grown = sum(t + three <= _midnight(day) for t in _entries(_midnight(day)).values())
        assert found.units(day) == pytest.approx(grown, abs=8)
    assert found.units(DAYS) == len(values)


def test_caps_ratios_and_covariates_are_read_as_the_decision_reads_them(past: Past) -> None:
    three = timedelta(days=3)
    capped = [min(v, 12.0) for v in _values(DAYS, lambda e: e["amount"], three).values()]
    assert _measured(past, "capped").baseline(DAYS).mean == pytest.approx(np.mean(capped), rel=1e-9)
    sums, counts = (_values(DAYS, value) for value in (lambda e: e["amount"], lambda e: 1.0))
    y, d = np.array(list(sums.values())), np.array([counts[u] for u in sums])
    ratio = _measured(past, "per_event").baseline(DAYS)
    assert ratio.mean == pytest.approx(y.sum() / d.sum(), rel=1e-9)
    assert ratio.variance == pytest.approx(np.var((y - ratio.mean * d) / d.mean(), ddof=1), rel=1e-6)
    values = _values(DAYS, lambda e: e["amount"], three)
    entered = _entries(_midnight(DAYS))
    before = dict.fromkeys(values, 0.0)
    for event in _history():
        t0 = entered.get(event["user"])
        if event["user"] in before and t0 and t0 - timedelta(days=7) <= event["ts"] < t0:
            before[event["user"]] += event["amount"]
    rho = float(np.corrcoef([values[u] for u in values], [before[u] for u in values])[0, 1])
    assert _measured(past, "adjusted").baseline(DAYS).variance_explained == pytest.approx(rho**2, rel=1e-6)


def test_a_quantile_is_planned_by_its_order_statistics(past: Past) -> None:
    values = list(_values(DAYS, lambda event: event["amount"]).values())
    found = _measured(past, "p90").baseline(DAYS)
    assert found.mean == pytest.approx(float(np.quantile(values, 0.9)))
    order = OrderStatistics.of(values)
    assert found.variance == pytest.approx(quantile(order, order, p=0.9).var_control, rel=1e-12)


def test_the_plan_says_what_it_rests_on(tmp_path: Path) -> None:
    workspace = _project(tmp_path, _history())
    made = make_plan(workspace, previewed(workspace, "trial"))
    spend = [entry for entry in made["metrics"] if entry["metric"] == "spend"]
    assert {entry["arm"] for entry in spend} == {"b", "c"}
    assert all(entry["baseline"] == "28 days of history" for entry in made["metrics"])
    assert spend[0]["n_control"] == pytest.approx(2 * spend[0]["n"], abs=2)
    assert spend[0]["alpha"] == 0.025
    assert spend[0]["inflation"] > 1.03
    assert spend[0]["n_at_end"] > 0
    assert spend[0]["curve"]["days"][-1] >= 14
    assert "units had a first row in events in the 28 days from 9 March 2026" in made["assumptions"][0]
    assert any("O'Brien-Fleming" in sentence for sentence in made["assumptions"])


def test_clusters_that_are_alike_multiply_the_variance(tmp_path: Path) -> None:
    events = _history()
    for event in events:
        event["amount"] += 3.0 * (int(event["village"][1:]) % 2)
    workspace = _project(tmp_path, events, analysis={"cluster": "village", "looks": "fixed"},
                         metrics={"primary": ["spend", "per_event", "p90", "bought"]})  # fmt: skip
    found = look_back(workspace, previewed(workspace, "trial"))
    assert found.clustered
    effects = {name: _measured(found, name).baseline(DAYS).design_effect for name in found.metrics}
    assert effects["spend"] > 1.5
    assert effects["per_event"] > 3
    assert effects["p90"] > 1.2
    assert effects["bought"] < 1.6
    assert any(
        "alike within village count" in s for s in make_plan(workspace, previewed(workspace, "trial"))["assumptions"]
    )


def test_typed_numbers_come_first_and_history_stands_beside_them(tmp_path: Path) -> None:
    typed = {"metric": "spend", "mde": "10%", "baseline": {"mean": 4.0, "sd": 6.0, "variance_explained": 0.5}}
    workspace = _project(tmp_path, _history(), metrics={"primary": [typed, "bought"]}, planning={"units_per_day": 1000})
    made = make_plan(workspace, previewed(workspace, "trial"))
    spend, bought = (next(e for e in made["metrics"] if e["metric"] == name) for name in ("spend", "bought"))
    assert spend["baseline"].startswith("typed; history has ")
    assert (spend["baseline_mean"], spend["baseline_sd"], spend["planned_effect"]) == (4.0, 6.0, pytest.approx(0.4))
    assert bought["baseline"] == "28 days of history"
    assert made["assumptions"][0] == "1,000 new units a day (typed)."
    assert spend["days"] == math.ceil(spend["units"] / 1000)
    assert bought["n_at_end"] == 14 * 1000 * 0.25


def test_a_guardrail_is_planned_one_sided_at_the_power_that_all_must_have(tmp_path: Path) -> None:
    workspace = _project(
        tmp_path, _history(), analysis={"looks": "fixed"},
        metrics={"primary": ["spend"], "guardrail": [{"metric": "bought", "margin": "5%"}]},
    )  # fmt: skip
    made = make_plan(workspace, previewed(workspace, "trial"))
    guard = next(e for e in made["metrics"] if e["role"] == "guardrail")
    assert guard["aim"] == "rule_out"
    assert (guard["alpha"], guard["power"]) == (0.05, pytest.approx(0.9))
    assert guard["margin"] == pytest.approx(0.05 * guard["baseline_mean"])
    assert guard["n"] > 0


@pytest.mark.parametrize(("use", "reason"), [
    ({"metric": "spend", "baseline": {"mean": 4.0}}, "typed without a standard deviation"),
    ({"metric": "bought", "baseline": {"mean": 1.4}}, "a proportion's baseline is a share"),
])  # fmt: skip
def test_a_baseline_that_cannot_be_is_a_reason_not_a_crash(tmp_path: Path, use: dict[str, Any], reason: str) -> None:
    workspace = _project(tmp_path, _history(people=40), metrics={"primary": [use]})
    entry = make_plan(workspace, previewed(workspace, "trial"))["metrics"][0]
    assert reason in entry["baseline"]
    assert entry["n"] is None


def test_an_effect_that_cannot_be_is_a_reason_not_a_crash(tmp_path: Path) -> None:
    use = {"metric": "bought", "mde": "50%", "baseline": {"mean": 0.8}}
    workspace = _project(tmp_path, _history(people=40), metrics={"primary": [use]})
    entry = make_plan(workspace, previewed(workspace, "trial"))["metrics"][0]
    assert "out of its range" in entry["reason"]


def test_without_a_past_it_says_why(tmp_path: Path) -> None:
    no_clock = Workspace.open(project(tmp_path / "table"))
    made = make_plan(no_clock, previewed(no_clock, "trial"))
    assert "visitors has no clock" in made["assumptions"][0]
    assert all(e["baseline"].startswith("no baseline typed; no start is planned") for e in made["metrics"])
    new = _project(tmp_path / "new", [])
    made = make_plan(new, previewed(new, "trial"))
    assert made["assumptions"][0].startswith("Traffic is unknown (no source has rows of days before the start)")
    assert {e["n"] for e in made["metrics"]} == {None}


def test_a_history_shorter_than_a_window_says_so(tmp_path: Path) -> None:
    recent = [e for e in _history() if e["ts"] >= START - timedelta(days=2)]
    workspace = _project(tmp_path, recent)
    found = look_back(workspace, previewed(workspace, "trial"))
    assert found.metrics["bought"] == "a window of 3 days does not fit into 2 days of history"
    assert found.span is not None
    assert not found.span.looked_back
    assert isinstance(found.metrics["spend"], History)


def test_before_the_start_the_days_up_to_now_are_replayed(tmp_path: Path) -> None:
    """A start far ahead: the history ends where the data does, on its last closed day."""
    ahead = {"start": datetime(2026, 9, 1), "end": datetime(2026, 9, 15)}
    workspace = _project(tmp_path, _history(), **ahead)
    found = look_back(workspace, previewed(workspace, "trial"))
    assert found.span is not None
    assert found.span.until == START + timedelta(days=1)


def test_two_plans_are_the_same_bytes(tmp_path: Path) -> None:
    workspace = _project(tmp_path, _history(people=60))
    promise = previewed(workspace, "trial")
    assert repr(make_plan(workspace, promise)) == repr(make_plan(workspace, promise))
