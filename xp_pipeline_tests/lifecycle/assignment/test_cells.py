"""Switchbacks end to end: cells of unit and time block are assigned, checked, measured and compared."""

from __future__ import annotations

import hashlib
import math
import random
import statistics
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from xp_pipeline.delivery.designs import read_design
from xp_pipeline.delivery.rules import assigner
from xp_pipeline.design.assigning import Rule
from xp_pipeline.errors import SpecError
from xp_pipeline.lifecycle.explain import explain_experiment
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.quality.flow import population_flow
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.binding import bind
from xp_pipeline.spec.folder import load
from xp_pipeline.spec.phases import Phase
from xp_pipeline_tests.projects import csv_text

START, END = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 9, tzinfo=UTC)
BLOCK, BURN_IN, BURN_OUT, CYCLE = timedelta(hours=4), timedelta(minutes=30), timedelta(minutes=10), 2
STORES = [f"s{i}" for i in range(12)]
Row = dict[str, Any]


def arm_of(store: str, block: int) -> str:
    """The rule in plain Python: within each pair of blocks the one with the lower bucket is control."""

    def bucket(b: int) -> float:
        key = "\x1f".join(["trial", store, str(b)])
        return int(hashlib.md5(key.encode()).hexdigest()[:13], 16) / 2**52

    first = block - block % CYCLE
    rank = sorted(range(first, first + CYCLE), key=bucket).index(block)
    return "control" if rank == 0 else "treatment"


def cell_of(store: str, at: datetime) -> tuple[str, int] | None:
    """The cell of a row; None outside the schedule or at an edge of its block."""
    if not START <= at < END:
        return None
    block, passed = divmod(at - START, BLOCK)
    return (store, block) if BURN_IN <= passed < BLOCK - BURN_OUT else None


def tables(*, seed: int = 3) -> tuple[list[Row], list[Row]]:
    """Visits and orders of six days around the schedule; orders are larger under treatment."""
    draw = random.Random(seed)
    visits: list[Row] = []
    orders: list[Row] = []
    for store in STORES:
        for _ in range(900):
            at = START - timedelta(days=1) + timedelta(seconds=draw.randrange(6 * 86_400))
            visits.append({"store": store, "ts": at.isoformat(), "city": "abc"[int(store[1:]) % 3]})
        for _ in range(600):
            at = START - timedelta(days=1) + timedelta(seconds=draw.randrange(6 * 86_400))
            more = 3 if START <= at < END and arm_of(store, (at - START) // BLOCK) == "treatment" else 0
            orders.append({"store": store, "ts": at.isoformat(), "amount": round(draw.gauss(20 + more, 5), 4)})
    return visits, orders


def project(root: Path, visits: list[Row], orders: list[Row], **experiment: Any) -> Path:
    """A project of visits (who is in) and orders (what is measured)."""
    for folder in ("sources", "metrics", "experiments"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    extra = {"arm": "text"} if "arm" in visits[0] else {}
    columns = {"visits": {"city": "text", **extra}, "orders": {"amount": "number"}}
    for name, rows in (("visits", visits), ("orders", orders)):
        (root / f"{name}.csv").write_text(csv_text(rows))
        source: Row = {"name": name, "kind": "event_log", "path": f"{name}.csv", "unit": "store", "timestamp": "ts"}
        source |= {"complete": True, "columns": {"store": "text", "ts": "timestamp", **columns[name]}}
        (root / "sources" / f"{name}.yaml").write_text(yaml.safe_dump(source))
    metrics = [
        {"name": "revenue", "type": "mean", "source": "orders", "value": "amount"},
        {"name": "orders", "type": "count", "source": "orders"},
        {"name": "basket", "type": "ratio", "numerator": {"source": "orders", "value": "amount"},
         "denominator": {"source": "orders", "aggregate": "count"}},
        {"name": "late", "type": "count", "source": "orders", "window": {"kind": "conversion", "length": "1h"}},
    ]  # fmt: skip
    (root / "metrics" / "m.yaml").write_text(yaml.safe_dump({"metrics": metrics}))
    spec = {
        "id": "trial",
        "start": "2026-01-05",
        "end": "2026-01-09",
        "assignment": {
            "control": "control",
            "weights": {"control": 0.5, "treatment": 0.5},
            "switchback": {"block": "4h", "burn_in": "30m", "burn_out": "10m", "cycle": 2},
        },
        "population": {"source": "visits"},
        "metrics": {"primary": ["revenue"], "secondary": ["basket", "orders"]},
        "segments": ["city"],
        "analysis": {"looks": "fixed", "secondary_correction": "none", "cluster": "store"},
    }
    (root / "xp.yaml").write_text(yaml.safe_dump({"name": "test"}))
    (root / "experiments" / "trial.yaml").write_text(yaml.safe_dump({**spec, **experiment}))
    return root


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[Row], list[Row]]:
    visits, orders = tables()
    root = project(tmp_path_factory.mktemp("switchback"), visits, orders)
    workspace = Workspace.open(root, by="test")
    outcome = run(workspace, "trial")
    assert outcome.status == "done", outcome.error
    return workspace, visits, orders


def _at(row: Row) -> datetime:
    return datetime.fromisoformat(row["ts"])


def _first(visits: list[Row]) -> dict[tuple[str, int], datetime]:
    """Every cell with a visit inside the edges of its block, and its first such visit."""
    found: dict[tuple[str, int], datetime] = {}
    for row in visits:
        if cell := cell_of(row["store"], _at(row)):
            found[cell] = min(found.get(cell, END), _at(row))
    return found


def test_cells_are_the_units_with_the_arm_of_the_schedule(ran: tuple[Workspace, list[Row], list[Row]]) -> None:
    workspace, visits, _ = ran
    promise = sealed(workspace, "trial")
    path = workspace.read("trial", Phase.ASSIGNMENTS, spec_hash=promise.spec_hash).path("assignments.parquet")
    found = {row["unit"]: (row["arm"], row["t0"], row["status"]) for row in pl.read_parquet(path).to_dicts()}
    expected = {
        f"{store}#{block}": (arm_of(store, block), t0.replace(tzinfo=None), "ok")
        for (store, block), t0 in _first(visits).items()
    }
    assert found == expected
    assert Counter(arm for arm, _, _ in found.values())["control"] == pytest.approx(len(found) / 2, abs=3)


def test_rows_at_the_edges_of_blocks_are_left_out_and_counted(ran: tuple[Workspace, list[Row], list[Row]]) -> None:
    workspace, visits, _ = ran
    steps = {step["name"]: step["rows"] for step in population_flow(workspace, sealed(workspace, "trial"), _as_of(ran))
             if "rows" in step}  # fmt: skip
    early = sum(_at(row) < START for row in visits)
    late = sum(_at(row) >= END for row in visits)
    edges = sum(START <= _at(row) < END and cell_of(row["store"], _at(row)) is None for row in visits)
    assert steps == {
        "rows read": len(visits),
        "before the start": early,
        "after the end or the as-of": late,
        "at the edges of blocks (burn-in, burn-out)": edges,
    }


def _as_of(ran: tuple[Workspace, list[Row], list[Row]]) -> str | None:
    return str(read(ran[0].folder.lake, "results", "trial")["as_of"][0])


def _values(visits: list[Row], orders: list[Row]) -> dict[str, dict[tuple[str, int], list[float]]]:
    """Arm to cell to the amounts that count in it: in its block, from its first visit on."""
    first = _first(visits)
    values: dict[str, dict[tuple[str, int], list[float]]] = defaultdict(dict)
    for store, block in first:
        values[arm_of(store, block)][store, block] = []
    for row in orders:
        cell = cell_of(row["store"], _at(row))
        if cell in first and _at(row) >= first[cell]:
            values[arm_of(*cell)][cell].append(row["amount"])
    return values


def test_metrics_are_those_of_cells(ran: tuple[Workspace, list[Row], list[Row]]) -> None:
    workspace, visits, orders = ran
    values = _values(visits, orders)
    results = read(workspace.folder.lake, "results", "trial").to_dicts()
    rows = {r["metric"]: r for r in results if not r["segment"] and r["estimator"] != "clustered"}
    by_store = {r["metric"]: r for r in results if r["estimator"] == "clustered"}
    for metric, total in (("revenue", math.fsum), ("orders", len)):
        control, treatment = ([float(total(v)) for v in values[arm].values()] for arm in ("control", "treatment"))
        row = rows[metric]
        assert (row["n_baseline"], row["n_arm"]) == (len(control), len(treatment))
        assert row["effect"] == pytest.approx(statistics.mean(treatment) - statistics.mean(control))
        variance = statistics.variance(treatment) / len(treatment) + statistics.variance(control) / len(control)
        assert row["se"] == pytest.approx(math.sqrt(variance))
    sums = {arm: [x for v in cells.values() for x in v] for arm, cells in values.items()}
    basket = statistics.mean(sums["treatment"]) - statistics.mean(sums["control"])
    assert rows["basket"]["effect"] == pytest.approx(basket)
    assert basket == pytest.approx(3, abs=0.7)
    assert by_store["orders"]["effect"] == pytest.approx(rows["orders"]["effect"])
    assert by_store["orders"]["df"] < len(STORES)


def test_the_sample_ratio_is_that_of_cells(ran: tuple[Workspace, list[Row], list[Row]]) -> None:
    workspace, visits, _ = ran
    health = read(workspace.folder.lake, "health", "trial").filter(pl.col("check") == "srm").to_dicts()
    expected = Counter(arm_of(*cell) for cell in _first(visits))
    assert [yaml.safe_load(row["observed"]) for row in health] == [dict(expected)]
    assert health[0]["verdict"] == "passed"


def test_logged_arms_are_held_against_the_schedule(tmp_path: Path) -> None:
    visits, orders = tables(seed=4)
    for row in visits:
        inside = START <= _at(row) < END
        row["arm"] = arm_of(row["store"], (_at(row) - START) // BLOCK) if inside else "control"
    wrong = {cell for cell in _first(visits) if cell[0] == "s0" and cell[1] < 5}
    for row in visits:
        if cell_of(row["store"], _at(row)) in wrong:
            row["arm"] = "treatment" if row["arm"] == "control" else "control"
    root = project(tmp_path, visits, orders, population={"source": "visits", "arm": "arm"})
    workspace = Workspace.open(root, by="test")
    assert run(workspace, "trial").status == "done"
    health = read(workspace.folder.lake, "health", "trial").to_dicts()
    found = next(row for row in health if row["check"] == "assignment_integrity" and row["scope"] == "design")
    assert (found["verdict"], found["statistic"]) == ("warned", len(wrong))


def test_a_dry_run_says_block_and_arm(ran: tuple[Workspace, list[Row], list[Row]]) -> None:
    rule = Rule(sealed(ran[0], "trial").bound)
    answer = rule.ask({"store": "s3"}, at=START + timedelta(hours=9))
    assert (answer.arm, answer.stratum, answer.reason) == (arm_of("s3", 2), "block 2", "")
    assert "edge" in rule.ask({"store": "s3"}, at=START + timedelta(hours=8)).reason
    assert rule.ask({"store": "s3"}, at=END).arm is None


def test_a_column_that_the_blocks_need_is_refused(tmp_path: Path) -> None:
    root = project(tmp_path, *tables())
    path = root / "sources" / "orders.yaml"
    path.write_text(path.read_text().replace("amount: number", "amount: number\n  Switched_Unit: text"))
    with pytest.raises(SpecError, match=r"source 'orders' has a column that the blocks need"):
        bind(load(root), "trial")


def test_a_switchback_is_said_in_words_and_not_served(ran: tuple[Workspace, list[Row], list[Row]]) -> None:
    said = explain_experiment(ran[0].folder, "trial")
    assert "A unit's arm changes every 4h: in every 2 blocks a unit has each arm by its share" in said
    assert "the first 30m and the last 10m of a block are left out" in said
    design = read_design(ran[0].folder.root, "trial")
    with pytest.raises(SpecError, match="a switchback cannot be served"):
        assigner(design)


BASE: dict[str, Any] = {"control": "control", "weights": {"control": 0.5, "treatment": 0.5}}


@pytest.mark.parametrize(
    ("changed", "line", "said"),
    [
        ({"metrics": {"primary": ["late"]}}, "primary", "has a window"),
        ({"start": None}, "switchback", "blocks are counted from the start"),
        ({"assignment": {**BASE, "switchback": {"block": "4h", "burn_in": "4h"}}}, "switchback", "leave nothing"),
        ({"assignment": {**BASE, "switchback": {"block": "4 hours", "cycle": 99}}}, "cycle", "cycle"),
        ({"assignment": {**BASE, "switchback": {"block": "4h"}, "layer": {"name": "l", "range": [0, 1]}}},
         "assignment", "without layer"),
        ({"population": {"source": "visits", "trigger": {"source": "orders"}}}, "trigger", "no trigger"),
        ({"segments": [{"name": "city", "source": "orders", "column": "store"}]}, "column", "segment of a switchback"),
    ],
)  # fmt: skip
def test_what_a_switchback_cannot_carry_is_refused_by_line(
    tmp_path: Path, changed: dict[str, Any], line: str, said: str
) -> None:
    root = project(tmp_path, *tables(), **changed)
    path = root / "experiments" / "trial.yaml"
    folder = load(root)
    if folder.problems:
        message = str(folder.problems[0])
    else:
        with pytest.raises(ValueError, match=r"trial\.yaml") as problem:
            bind(folder, "trial")
        message = str(problem.value)
    at = int(message.split(":")[1])
    assert said in message
    assert f"{line}:" in path.read_text().splitlines()[at - 1], message
