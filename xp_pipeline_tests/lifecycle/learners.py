"""An adaptive project for tests: units, arms, versions and rewards as a test wants them, served by nobody."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from xp_pipeline.delivery.algorithms import Allocation
from xp_pipeline.delivery.algorithms.published import read_latest
from xp_pipeline.lifecycle.run import Outcome, run, run_phase
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.phases import Phase

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)

SOURCES: list[dict[str, Any]] = [
    {
        "name": "served", "kind": "exposure_log", "path": "served.csv", "unit": "unit", "timestamp": "at",
        "closed": "closed/{day}",
        "columns": {"unit": "integer", "variant": "text", "version": "text", "at": "timestamp", "country": "text"},
    },
    {
        "name": "events", "kind": "event_log", "path": "events.csv", "unit": "unit", "timestamp": "ts",
        "complete": True,
        "columns": {"unit": "integer", "ts": "timestamp", "amount": "number"},
    },
]  # fmt: skip
METRICS: list[dict[str, Any]] = [
    {"name": "bought", "type": "proportion", "source": "events"},
    {"name": "spent", "type": "mean", "source": "events", "value": "amount"},
    {"name": "basket", "type": "ratio", "numerator": {"source": "events", "value": "amount"},
     "denominator": {"source": "events", "aggregate": "count"}},
]  # fmt: skip
EXPERIMENT: dict[str, Any] = {
    "id": "learnt",
    "start": "2026-03-02",
    "end": "2026-03-06",
    "assignment": {
        "control": "a",
        "weights": {"b": 0.5, "a": 0.5},
        "adaptive": {"algorithm": "thompson_beta", "reward": "bought"},
    },
    "population": {"source": "served", "arm": "variant"},
    "metrics": {"primary": ["bought"], "guardrail": [{"metric": "spent", "margin": "50%"}]},
    "segments": ["country"],
    "planning": {"units_per_day": 400},
}


@dataclass
class Learners:
    """A project that goes day by day.

    Attributes:
        root: Its folder.
        rates: Share of units that buy, by arm.
        day: Days that are over.
        units: Unit, arm, version and time of every exposure.
        bought: Unit, time and amount of every purchase.
    """

    root: Path
    rates: Mapping[str, float]
    day: int = 0
    units: list[tuple[int, str, str, datetime]] = field(default_factory=list)
    bought: list[tuple[int, datetime, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = random.Random(5)

    @property
    def weights(self) -> Allocation:
        """The weights that are in force."""
        return read_latest(self.root / "record", "learnt")

    @property
    def workspace(self) -> Workspace:
        """The project as opened on the morning after the last day."""
        workspace = Workspace.open(self.root, by="test")
        assert not workspace.folder.problems, workspace.folder.problems
        workspace.clock = lambda: START + DAY * self.day - timedelta(hours=0 if self.day else 1)
        return workspace

    def serve(self, n: int = 400, *, choose: Callable[[Allocation], str] | None = None) -> None:
        """A day's units, by the weights in force, and all that they buy."""
        weights = self.weights
        for i in range(n):
            arm = choose(weights) if choose else self.draw.choices(*zip(*weights.shares.items(), strict=True))[0]
            at = START + DAY * (self.day + (i + 0.5) / n)
            self.units.append((len(self.units), arm, weights.version, at))
            if self.draw.random() < self.rates[arm]:
                self.bought.append((len(self.units) - 1, at, round(self.draw.uniform(1, 9), 2)))
        self.day += 1
        self.write()

    def write(self) -> None:
        """Everything so far, and the days that are over."""
        served = [f"{u},{arm},{version},{at.isoformat()},{country(u)}" for u, arm, version, at in self.units]
        events = [f"{unit},{ts.isoformat()},{amount}" for unit, ts, amount in self.bought]
        _lines(self.root / "served.csv", "unit,variant,version,at,country", served)
        _lines(self.root / "events.csv", "unit,ts,amount", events or ["-1,2026-03-01T00:00:00+00:00,1"])
        (self.root / "closed").mkdir(exist_ok=True)
        for day in range(self.day):
            (self.root / "closed" / f"{START + DAY * day:%Y-%m-%d}").touch()

    def seal(self) -> None:
        """Register it and seal its design, which publishes the first weights."""
        for phase in (Phase.REGISTERED_SPEC, Phase.POWER_PLAN, Phase.DESIGN):
            run_phase(self.workspace, "learnt", phase)

    def run(self) -> Outcome:
        """The nightly run."""
        return run(self.workspace, "learnt")


def learners(root: Path, *, rates: Mapping[str, float] | None = None, sealed: bool = True, **assigned: Any) -> Learners:
    """The project, its design sealed and its first weights published; ``assigned`` replaces parts of its assignment."""
    for source in SOURCES:
        _yaml(root / "sources" / f"{source['name']}.yaml", source)
    _yaml(root / "xp.yaml", {"name": "learners"})
    _yaml(root / "metrics" / "metrics.yaml", {"metrics": METRICS})
    _yaml(root / "experiments" / "learnt.yaml", {**EXPERIMENT, "assignment": EXPERIMENT["assignment"] | assigned})
    project = Learners(root, rates or {"a": 0.2, "b": 0.4})
    project.write()
    if sealed:
        project.seal()
    return project


def country(unit: int) -> str:
    """Where a unit lives."""
    return "NO" if unit % 3 else "DE"


def _yaml(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _lines(path: Path, head: str, lines: list[str]) -> None:
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
