"""What a reading is: a look, which may claim, or an interim reading, which may not; and what earlier looks found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.canonical import digest
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.metric import Metric

DAY = timedelta(days=1)
Payload = Mapping[str, Any]


@dataclass(frozen=True)
class Occasion:
    """One reading.

    Attributes:
        claims: Whether its tests count: a scheduled look, or the final one.
        final: Whether no look follows.
        number: The look's number among those that claim, from 1; 0 for a reading that does not.
        progress: Share of the planned run time that has passed; None without a plan.
        earlier: What the ledger keeps of the looks that claimed before, in order of their days.
    """

    claims: bool
    final: bool
    number: int
    progress: float | None = None
    earlier: tuple[Payload, ...] = field(default=(), repr=False)

    @property
    def digest(self) -> str:
        """Names what this reading builds on: the same day under other earlier looks is another reading."""
        tests = [{"as_of": look["as_of"], "tests": look["tests"]} for look in self.earlier]
        return digest({"claims": self.claims, "final": self.final, "earlier": tests})[:16]


def occasion(workspace: Workspace, promise: Sealed, *, as_of: str | None, final: bool) -> Occasion:
    """What a reading at an as-of is. A recomputed day is the look it was; a day before the last look is none."""
    looks = [entry.payload for entry in workspace.ledger.entries(promise.id, EntryKind.LOOK)]
    earlier = tuple(look for look in _before(looks, as_of) if look.get("claims"))
    day = date.fromisoformat(as_of) if as_of else None
    claims = final or _due(promise, looks, earlier, day)
    return Occasion(claims, final, len(earlier) + 1 if claims else 0, _progress(promise.bound, day), earlier)


def frozen_caps(workspace: Workspace, promise: Sealed, *, as_of: str | None) -> dict[str, float]:
    """Caps by metric as the first look before a day found them; none where one look is all there is."""
    if promise.bound.looks.schedule == "fixed":
        return {}
    looks = [entry.payload for entry in workspace.ledger.entries(promise.id, EntryKind.LOOK)]
    first = next(iter(_before(looks, as_of)), None)
    return dict(first.get("caps", {})) if first else {}


def measured_metrics(bound: Bound, *, final: bool) -> dict[str, Metric]:
    """The metrics as a reading measures them: before the end a sequential claim rests on mature units only."""
    return dict(bound.metrics) if final or bound.looks.schedule == "fixed" else matured(bound)


def matured(bound: Bound) -> dict[str, Metric]:
    """The metrics where only units count whose window has passed."""
    return {
        name: metric.model_copy(update={"mature": True}) if metric.growing else metric
        for name, metric in bound.metrics.items()
    }


def _before(looks: Sequence[Payload], as_of: str | None) -> list[Payload]:
    found = [look for look in looks if as_of and look["as_of"] and look["as_of"] < as_of]
    return sorted(found, key=lambda look: str(look["as_of"]))


def _due(promise: Sealed, looks: Sequence[Payload], earlier: Sequence[Payload], day: date | None) -> bool:
    """Whether a scheduled day has come since the last look, and the minimum run time has passed."""
    bound = promise.bound
    if day is None or bound.looks.schedule == "fixed":
        return False
    same = [look for look in looks if look["as_of"] == day.isoformat() and not look["final"]]
    if same:
        return bool(same[0].get("claims"))
    if any(look["as_of"] and look["as_of"] > day.isoformat() for look in looks):
        return False
    if _days_run(bound, day) < bound.experiment.analysis.minimum_days:
        return False
    last = date.fromisoformat(earlier[-1]["as_of"]) if earlier else None
    return _scheduled(bound, day) > (_scheduled(bound, last) if last else 0)


def looks_left(bound: Bound, *, as_of: str | None, final: bool) -> int:
    """Looks planned after a day, the final one included; 0 for one look, and where no end is planned 1."""
    if final or bound.looks.schedule == "fixed" or as_of is None:
        return 0
    if bound.end is None:
        return 1
    last = (bound.end + bound.follow_up).astimezone(bound.zone).date() - DAY
    return max(_scheduled(bound, last - DAY) - _scheduled(bound, date.fromisoformat(as_of)), 0) + 1


def _scheduled(bound: Bound, day: date) -> int:
    """How many looks were scheduled up to the end of a day."""
    return _days_run(bound, day) // (bound.looks.every // DAY)


def _days_run(bound: Bound, day: date) -> int:
    """Days since the start; without one, of the calendar, so that looks keep their distance."""
    begin = bound.start.astimezone(bound.zone).date() if bound.start else date.min
    return (day - begin) // DAY + 1


def _progress(bound: Bound, day: date | None) -> float | None:
    """Share of the time up to the final look that has passed, by whole days."""
    if not (bound.start and bound.end and day):
        return None
    last = bound.end + bound.follow_up
    return min(max(_days_run(bound, day), 1) / max((last - bound.start) / DAY, 1.0), 1.0)
