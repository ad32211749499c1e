"""A small service that serves a registered experiment, and the pipeline that reads what it served.

    python serve.py [--users 20000]

The service is a WSGI application; simulated users call it in this process, on a simulated clock.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
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
SPAN = timedelta(days=14)
TRUTH = {3: 0.20, 1: 0.23}
"""Share of users who buy, by the number of pages of the checkout."""

PAGES: Symbol[int] = Symbol("pages")
BUTTON: Symbol[str] = Symbol("button")
PICKS = {"three_pages": {PAGES: 3, BUTTON: "Next"}, "one_page": {PAGES: 1, BUTTON: "Buy now"}}

Respond = Callable[[str, list[tuple[str, str]]], Any]


class Shop:
    """``GET /checkout?user=7`` shows the user's checkout, ``GET /buy?user=7`` takes an order."""

    def __init__(self, pyrosper: Pyrosper, buy: Callable[[str], None]) -> None:
        self.pyrosper = pyrosper
        self.buy = buy

    def __call__(self, request: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        user = parse_qs(request["QUERY_STRING"])["user"][0]
        respond("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        if request["PATH_INFO"] == "/buy":
            self.buy(user)
            return [b"thank you"]
        self.pyrosper.set_for_user_sync(user)
        return [f"{self.pyrosper.pick(PAGES)} page(s): [{self.pyrosper.pick(BUTTON)}]".encode()]


class Clock:
    """The simulated time."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def main(arguments: list[str] | None = None) -> None:
    """Seal the design, serve users, run the pipeline, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--project", type=Path, default=PROJECT)
    given = parser.parse_args(arguments)
    declare_exposures(given.project, unit="integer", marked=True)
    write_history(given.project, given.users)
    seal(given.project)
    served = serve(given.project, given.users)
    close_days(given.project / "record" / "exposures", zone="Europe/Berlin", now=START + SPAN + timedelta(days=3))
    for row in analyse(given.project):
        print(f"{row['metric']}: {row['mean_baseline']:.3f} -> {row['mean_arm']:.3f}, p = {row['p_value']:.2g}")
        print(f"  analysed {row['n_baseline']:,} + {row['n_arm']:,} users; served {served[3]:,} + {served[1]:,}")


def write_history(project: Path, users: int) -> None:
    """Purchases of other users in the four weeks before, for the plan."""
    draw, clock = random.Random(3), Clock()
    (project / "generated").mkdir(exist_ok=True)
    (project / "generated" / "events.csv").write_text("user_id,ts,event,amount\n", encoding="utf-8")
    with _events(project / "generated" / "events.csv", clock, draw) as buy:
        for user in range(users):
            clock.now = START - 2 * SPAN * draw.random()
            if draw.random() < TRUTH[3]:
                buy(str(users + user))


def seal(project: Path) -> None:
    """Register the experiment and seal its design; ``xp run`` does the same, and then waits for exposures."""
    from xp_pipeline.lifecycle.run import run_phase
    from xp_pipeline.lifecycle.workspace import Workspace
    from xp_pipeline.spec.phases import Phase

    workspace = Workspace.open(project)
    for phase in (Phase.REGISTERED_SPEC, Phase.POWER_PLAN, Phase.DESIGN):
        run_phase(workspace, "checkout", phase)


def serve(project: Path, users: int) -> dict[int, int]:
    """Call the service as so many users would; users by what they truly saw."""
    clock, draw, served = Clock(), random.Random(7), dict.fromkeys(TRUTH, 0)
    with _events(project / "generated" / "events.csv", clock, draw) as buy, _registry(project, clock) as pyrosper:
        shop = Shop(pyrosper, buy)
        for user in range(users):
            clock.now += SPAN / (users + 1)
            pages = int(_get(shop, "/checkout", user)[0])
            served[pages] += 1
            _get(shop, "/checkout", draw.randrange(user + 1))
            if draw.random() < TRUTH[pages]:
                _get(shop, "/buy", user)
    return served


def analyse(project: Path) -> list[dict[str, Any]]:
    """Run the pipeline on the log; the rows of its results."""
    from xp_pipeline.lifecycle.publish import read
    from xp_pipeline.lifecycle.run import run
    from xp_pipeline.lifecycle.workspace import Workspace

    outcome = run(Workspace.open(project), "checkout")
    if outcome.error:
        raise outcome.error
    return list(read(project / "lake", "results", "checkout").to_dicts())


@contextmanager
def _registry(project: Path, clock: Clock) -> Iterator[Pyrosper]:
    # An assignment that a power cut takes is drawn again, the same by the sealed rule: NORMAL is durable enough.
    store = SqliteStore(project / "record" / "assignments.sqlite", durability="NORMAL")
    log = ExposureLog(project / "record" / "exposures")
    checkout = RegisteredExperiment.open(project, "checkout", PICKS, store=store, log=log, clock=clock)
    try:
        yield Pyrosper().with_experiment(checkout)
    finally:
        log.close()
        store.close()


@contextmanager
def _events(path: Path, clock: Clock, draw: random.Random) -> Iterator[Callable[[str], None]]:
    with path.open("a", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")

        def buy(user: str) -> None:
            rows.writerow(
                [user, (clock() + timedelta(minutes=3)).isoformat(), "purchase", round(draw.gammavariate(2, 20), 2)]
            )

        yield buy


def _get(shop: Shop, path: str, user: int) -> str:
    """A request, without a network."""
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": f"user={user}"}
    return b"".join(shop(request, lambda status, headers: None)).decode()


if __name__ == "__main__":
    main()
