"""Serving against its floors: picks a second for a known user, and a first stored assignment beside a bare commit.

    python benchmarks/delivery.py [--picks 1000000] [--users 3000] [--rounds 5]

Picks run on one thread, and are counted by the second of its CPU. For assignments, each user is assigned through
``SqliteStore`` and, in turn, the same row is committed bare to a SQLite file in the same folder and durability mode, so
that both see the same disk at the same time; the ratios are those of their 99th percentiles and medians, round by
round. Nothing else should run: in NORMAL mode both take microseconds, and a busy machine shows in their tails.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from xp_pipeline.delivery import (
    Design,
    ExposureLog,
    Pyrosper,
    RegisteredExperiment,
    SqliteStore,
    StoredExperiment,
    Symbol,
    Variant,
)
from xp_pipeline.delivery.stores.sqlite import Durability

TITLE: Symbol[str] = Symbol("title")
LIMIT: Symbol[int] = Symbol("limit")
MODES: tuple[Durability, ...] = ("FULL", "NORMAL")


def main() -> None:
    """Time picks, then first assignments in both durability modes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picks", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        for what, rates in _picks(folder, given.picks, given.rounds).items():
            middle, low = statistics.median(rates), min(rates)
            print(f"{what}: median {middle:,.0f} a CPU second, slowest of {len(rates)} {low:,.0f}")
        for mode in MODES:
            rounds = [_first(folder / f"{mode}{i}", given.users, mode) for i in range(given.rounds)]
            _print_first(mode, rounds)


def _picks(folder: Path, picks: int, rounds: int) -> dict[str, list[float]]:
    """Rates by what is done, all rounds in turn; the exposure of every user was logged before."""
    log = ExposureLog(folder / "exposures")
    registered = _registered(folder / "known.sqlite", log)
    pyrosper = Pyrosper().with_experiment(registered).with_experiment(_stored(folder / "code.sqlite"))
    served = pyrosper.set_for_user_sync("user")
    served.pick(TITLE)
    alone = Pyrosper().with_experiment(registered)
    work: dict[str, tuple[int, Callable[[], object]]] = {
        "pick, the current user": (picks, lambda: pyrosper.pick(TITLE)),
        "pick with its type": (picks, lambda: pyrosper.pick(LIMIT, int)),
        "pick from a user's own picks": (picks, lambda: served.pick(TITLE)),
        "set a known user, and pick": (picks // 10, lambda: alone.set_for_user_sync("user").pick(TITLE)),
    }
    rates = {what: [_rate(times, call) for _ in range(rounds)] for what, (times, call) in work.items()}
    rates["set a known user, and pick, in an event loop"] = [
        asyncio.run(_rate_in_loop(alone, picks // 10)) for _ in range(rounds)
    ]
    log.close()
    return rates


def _rate(times: int, call: Callable[[], object]) -> float:
    began = time.thread_time()
    for _ in range(times):
        call()
    return times / (time.thread_time() - began)


async def _rate_in_loop(pyrosper: Pyrosper, times: int) -> float:
    began = time.thread_time()
    for _ in range(times):
        (await pyrosper.set_for_user("user")).pick(TITLE)
    return times / (time.thread_time() - began)


def _first(folder: Path, users: int, mode: Durability) -> tuple[list[float], list[float]]:
    """Microseconds of each bare commit and of each first assignment."""
    folder.mkdir()
    bare = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute(f"PRAGMA synchronous = {mode}")
    bare.execute(
        "CREATE TABLE rows (experiment TEXT, user TEXT, variant INTEGER, propensity REAL, version TEXT, at TEXT, "
        "PRIMARY KEY (experiment, user))"
    )
    version, at = "v2@0123456789ab", "2026-03-02T00:00:00.000000+00:00"
    experiment = _registered(folder / "store.sqlite", None, mode)
    experiment.choose_sync("warm")
    floor, ours = [], []
    for user in range(users):
        began = time.perf_counter()
        bare.execute("BEGIN IMMEDIATE")
        bare.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", ("titles", str(user), user % 3, 0.5, version, at))
        bare.execute("COMMIT")
        committed = time.perf_counter()
        experiment.choose_sync(user)
        floor.append((committed - began) * 1e6)
        ours.append((time.perf_counter() - committed) * 1e6)
    bare.close()
    if experiment.store:
        experiment.store.close()
    return floor, ours


def _print_first(mode: Durability, rounds: list[tuple[list[float], list[float]]]) -> None:
    measures: dict[str, Callable[[list[float]], float]] = {"p99": _p99, "median": statistics.median}
    for what, of in measures.items():
        floors, ours = [of(floor) for floor, _ in rounds], [of(times) for _, times in rounds]
        ratios = [mine / floor for mine, floor in zip(ours, floors, strict=True)]
        print(
            f"first assignment, synchronous={mode}, {what}: {statistics.median(ratios):.2f} times a bare commit's "
            f"[{min(ratios):.2f}, {max(ratios):.2f}] over {len(rounds)} rounds; "
            f"{statistics.median(ours):.0f} and {statistics.median(floors):.0f} microseconds"
        )


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def _registered(path: Path, log: ExposureLog | None, mode: Durability = "FULL") -> RegisteredExperiment:
    shares = {"control": 0.5, "short": 0.3, "long": 0.2}
    design = Design("titles", tuple(shares), "control", shares, "v2", "titles", None, None, "hash", "digest")
    picks = {arm: {TITLE: arm.title(), LIMIT: len(arm)} for arm in shares}
    return RegisteredExperiment(design, picks, store=SqliteStore(path, durability=mode), log=log)


def _stored(path: Path) -> StoredExperiment:
    variants = [Variant(name, {"color": name}) for name in ("red", "blue")]
    experiment = StoredExperiment("colors", variants, store=SqliteStore(path))
    experiment.enable_sync()
    return experiment


if __name__ == "__main__":
    main()
