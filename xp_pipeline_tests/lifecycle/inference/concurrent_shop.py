"""A small shop for tests: two experiments over the same visitors, and what they bought on the days after."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from xp_pipeline_tests.projects import csv_text

START = datetime(2026, 1, 1)
DAYS, WATCHED = 20, 10
ARMS = ("control", "treatment")


@dataclass(frozen=True)
class Visitor:
    """One visitor: id, arms in both experiments, their exposures, and purchases as (time, amount)."""

    id: int
    arms: tuple[str, str]
    seen: tuple[datetime, datetime]
    bought: tuple[tuple[datetime, float], ...]


def visitors(n: int, *, seed: int = 5, fading: float = 0.0, together: float = 0.0) -> list[Visitor]:
    """Visitors of the first ten days; treatment of the first adds ``fading`` a purchase less each day, both
    treatments add ``together``."""
    draw = random.Random(seed)
    found = []
    for unit in range(n):
        arms = draw.choice(ARMS), draw.choice(ARMS)
        first = START + timedelta(minutes=draw.randrange(10 * 1440))
        second = first + timedelta(minutes=draw.randrange(-60, 60))
        second = max(second, START)
        bought = []
        for day in range(WATCHED):
            if draw.random() < 0.4:
                extra = fading * max(0, 4 - day) if arms[0] == "treatment" else 0.0
                extra += together if arms == ("treatment", "treatment") else 0.0
                at = max(first, second) + timedelta(days=day, minutes=draw.randrange(1440))
                bought.append((at, round(draw.uniform(5, 15) + extra, 2)))
        found.append(Visitor(unit, arms, (first, second), tuple(bought)))
    return found


def shop(root: Path, people: list[Visitor], *, second: dict[str, Any] | None = None, **analysis: Any) -> Path:
    """Write the project: experiments ``first`` and ``second`` on exposures and purchases."""
    for folder in ("sources", "metrics", "experiments"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    exposures = [
        {"visitor": p.id, "at": _text(at), "experiment": name, "arm": arm}
        for p in people
        for name, arm, at in zip(("first", "second"), p.arms, p.seen, strict=True)
    ]
    orders = [{"visitor": p.id, "at": _text(at), "amount": amount} for p in people for at, amount in p.bought]
    clock = {"timestamp": "at", "unit": "visitor", "complete": True}
    _write(root / "sources" / "exposures.yaml", {
        "name": "exposures", "kind": "exposure_log", "path": "exposures.csv", **clock,
        "columns": {"visitor": "integer", "at": "timestamp", "experiment": "text", "arm": "text"},
    })  # fmt: skip
    _write(root / "sources" / "orders.yaml", {
        "name": "orders", "kind": "event_log", "path": "orders.csv", **clock,
        "columns": {"visitor": "integer", "at": "timestamp", "amount": "number"},
    })  # fmt: skip
    (root / "exposures.csv").write_text(csv_text(exposures), encoding="utf-8")
    (root / "orders.csv").write_text(csv_text(orders), encoding="utf-8")
    metrics = [
        {"name": "spend", "type": "revenue", "source": "orders", "value": "amount"},
        {"name": "purchases", "type": "count", "source": "orders"},
        {"name": "basket", "type": "ratio", "numerator": {"source": "orders", "value": "amount"},
         "denominator": {"source": "orders", "aggregate": "count"}},
    ]  # fmt: skip
    _write(root / "metrics" / "m.yaml", {"metrics": metrics})
    for name in ("first", "second"):
        spec: dict[str, Any] = {
            "id": name,
            "start": "2026-01-01",
            "end": f"2026-01-{1 + DAYS}",
            "assignment": {"control": "control", "weights": {"control": 0.5, "treatment": 0.5}},
            "population": {"source": "exposures", "where": {"experiment": name}, "arm": "arm"},
            "metrics": {"primary": ["spend", "basket"], "secondary": ["purchases"]},
            "analysis": {"looks": "fixed", **analysis},
        }
        _write(root / "experiments" / f"{name}.yaml", spec | ((second or {}) if name == "second" else {}))
    (root / "xp.yaml").write_text("name: shop\n", encoding="utf-8")
    return root


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _write(path: Path, content: Any) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
