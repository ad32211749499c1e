"""A service that follows the weights which the pipeline learns from it, night by night.

    python learn.py [--users 14000]

Simulated users call the service in this process, on a simulated clock; after every midnight the pipeline runs.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from xp_pipeline.delivery import (
    ExposureLog,
    Pyrosper,
    RegisteredExperiment,
    SqliteStore,
    Symbol,
    close_days,
    declare_exposures,
)

PROJECT = Path(__file__).with_name("project")
START = datetime(2026, 3, 2, tzinfo=ZoneInfo("Europe/Berlin"))
DAY = timedelta(days=1)
DAYS = 14
FOLLOW_UP = 1
"""Days after the end until the last user's window has passed."""
TRUTH = {3: 0.20, 1: 0.24}
"""Share of users who buy within a day, by the number of pages of the checkout."""

PAGES: Symbol[int] = Symbol("pages")
PICKS = {"three_pages": {PAGES: 3}, "one_page": {PAGES: 1}}


@dataclass
class World:
    """The simulated time, chance, and purchases that are still to come.

    Attributes:
        project: The project folder.
        users: How many come in all.
        seed: Of chance.
        now: The simulated time.
        seen: Pages that each user saw first, in order of arrival.
        moved: Users who saw another checkout on a later visit; there should be none.
        to_come: Purchases by the time at which they happen.
    """

    project: Path
    users: int
    seed: int = 7
    now: datetime = START - timedelta(hours=1)
    seen: list[int] = field(default_factory=list)
    moved: int = 0
    to_come: list[tuple[datetime, int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)

    def clock(self) -> datetime:
        """The simulated time, as services and the ledger ask for it."""
        return self.now

    def day(self, pyrosper: Pyrosper) -> None:
        """A day's new users; some come back, and some of all buy within the day that follows."""
        begin = self.now
        count = self.users // DAYS
        for i in range(count):
            self.now = begin + DAY * (i + 0.5) / count
            user = len(self.seen)
            pages = pyrosper.set_for_user_sync(user).pick(PAGES)
            self.seen.append(pages)
            if self.draw.random() < TRUTH[pages]:
                at = self.now + timedelta(hours=20) * self.draw.random()
                heapq.heappush(self.to_come, (at, user, round(self.draw.gammavariate(2, 20), 2)))
            guest = self.draw.randrange(user + 1)
            self.moved += pyrosper.set_for_user_sync(guest).pick(PAGES) != self.seen[guest]

    def night(self) -> None:
        """Write the purchases that have happened, close the day, and run the pipeline."""
        with (self.project / "generated" / "events.csv").open("a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            while self.to_come and self.to_come[0][0] < self.now:
                at, user, amount = heapq.heappop(self.to_come)
                rows.writerow([user, at.isoformat(), "purchase", amount])
        close_days(self.project / "record" / "exposures", zone="Europe/Berlin", now=self.now + timedelta(hours=2))
        run(self)


def main(arguments: list[str] | None = None) -> None:
    """Seal the design, serve and learn day by day, and print what was learned and what was concluded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=14_000)
    parser.add_argument("--project", type=Path, default=PROJECT)
    given = parser.parse_args(arguments)
    world = World(given.project, given.users)
    declare_exposures(given.project, unit="integer", marked=True)
    write_history(world)
    seal(world)
    world.now = START
    with service(world) as (pyrosper, log):
        for day in range(DAYS):
            world.day(pyrosper)
            log.flush()
            world.now = START + DAY * (day + 1)
            world.night()
            print(f"after {world.now - DAY:%d %B}: {shares(world)}")
    for _ in range(FOLLOW_UP):
        world.now += DAY
        world.night()
    conclude(world)


def write_history(world: World) -> None:
    """Purchases of other users in the two weeks before, for the plan."""
    (world.project / "generated").mkdir(exist_ok=True)
    with (world.project / "generated" / "events.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["user_id", "ts", "event", "amount"])
        for user in range(world.users):
            at = START - 14 * DAY * world.draw.random()
            if world.draw.random() < TRUTH[3]:
                rows.writerow([world.users + user, at.isoformat(), "purchase", 40])


def seal(world: World) -> None:
    """Register the experiment and seal its design, which publishes the first weights."""
    from xp_pipeline.lifecycle.run import run_phase
    from xp_pipeline.spec.phases import Phase

    for phase in (Phase.REGISTERED_SPEC, Phase.POWER_PLAN, Phase.DESIGN):
        run_phase(opened(world), "checkout", phase)


def run(world: World) -> None:
    """The nightly run, as ``xp run`` or the daily job does it."""
    from xp_pipeline.lifecycle import run as lifecycle

    outcome = lifecycle.run(opened(world), "checkout")
    if outcome.error:
        raise outcome.error


def opened(world: World) -> Any:
    """The project as the pipeline sees it now."""
    from xp_pipeline.lifecycle.workspace import Workspace

    workspace = Workspace.open(world.project)
    workspace.clock = world.clock
    return workspace


@contextmanager
def service(world: World) -> Iterator[tuple[Pyrosper, ExposureLog]]:
    """The registry of a service that runs all the time; it looks for new weights now and then."""
    store = SqliteStore(world.project / "record" / "assignments.sqlite", durability="NORMAL")
    log = ExposureLog(world.project / "record" / "exposures")
    checkout = RegisteredExperiment.open(world.project, "checkout", PICKS, store=store, log=log, clock=world.clock)
    try:
        yield Pyrosper().with_experiment(checkout), log
    finally:
        log.close()
        store.close()


def shares(world: World) -> str:
    """The weights that are in force."""
    from xp_pipeline.delivery.algorithms.published import read_latest

    weights = read_latest(world.project / "record", "checkout")
    return ", ".join(f"{arm} {share:.1%}" for arm, share in weights.shares.items())


def conclude(world: World) -> None:
    """The final results beside the truth, and the test of the sample ratio."""
    from xp_pipeline.lifecycle.publish import read

    truth = TRUTH[1] - TRUTH[3]
    print(f"{len(world.seen):,} users, {world.seen.count(1):,} of them with one page; moved: {world.moved}")
    for row in read(world.project / "lake", "results", "checkout").to_dicts():
        if row["metric"] == "conversion":
            interval = f"{row['effect']:+.4f} [{row['ci_low']:+.4f}, {row['ci_high']:+.4f}]"
            print(f"conversion, {row['estimator']}: {interval}; truly {truth:+.4f}")
    for row in read(world.project / "lake", "health", "checkout").to_dicts():
        if row["check"] == "srm" and row["scope"] == "all":
            print(f"sample ratio {row['verdict']}: {row['message']}")


if __name__ == "__main__":
    main()
