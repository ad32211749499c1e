"""Makes the shop: events and exposures of 28 days, with a known effect and planted faults.

    python generate.py [--users 200000] [--out generated]

The same arguments give the same bytes. What is true of the data, and which faults it carries, stands in README.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

SEED = 20260302
ZONE = ZoneInfo("Europe/Berlin")
START = datetime(2026, 3, 2, tzinfo=ZONE)
DAYS_BEFORE, DAYS = 14, 28
LIFT = {"control": 1.0, "one_page": 1.08, "guest": 1.0}
"""True factor on the rate of purchases, by arm of ``checkout``."""
BEHAVIOUR = {"visit": (3.0, 0.5), "purchase": (0.9, 1.5), "error": (0.5, 0.0)}
"""Events of a user in two weeks: Poisson with mean rate * taste ** power, taste being gamma with mean 1 (shape 1.2).

Half the mean over one week. The power of purchases makes those of the two weeks before exposure and of the week after
correlate by 0.6: with k = 1.5, L = 0.9 and T the taste, L^2/2 Var(T^k) over the root of
(L E T^k + L^2 Var T^k) (L/2 E T^k + L^2/4 Var T^k).
"""
SRM_PLATFORM, SRM_FROM_DAY, SRM_LOST = "ios", 9, 0.5
"""``fault_srm``: from this day on (0 is the first) this share of the treatment's exposures on this platform is lost."""
SEVERAL_ARMS = 0.015
"""``fault_several_arms``: share of users who meet the other arm ten minutes after their own."""
LEAKED = 200
"""``fault_leak``: users expected in the arm of weight zero."""
NO_ARM = 0.004
"""``fault_null_arm``: share of exposures without an arm."""
MISSPELT = 0.002
"""``fault_undeclared_arm``: share of exposures whose arm reads ``tretment``."""
COUNTRIES = (("DE", 0.5), ("FR", 0.3), ("NO", 0.2))
PLATFORMS = (("web", 0.5), ("ios", 0.3), ("android", 0.2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write events.parquet and exposures.parquet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("generated"))
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    exposures, events = make_tables(given.users)
    exposures.write_parquet(given.out / "exposures.parquet")
    events.write_parquet(given.out / "events.parquet")
    print(f"{given.users:,} users, {len(exposures):,} exposures, {len(events):,} events in {given.out}")


def make_tables(users: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The exposure log and the event log of so many users; the same number gives the same rows."""
    draw = np.random.default_rng(SEED)
    people = make_users(users, draw)
    return make_exposures(people, draw), make_events(people, draw)


def make_users(n: int, draw: np.random.Generator) -> pl.DataFrame:
    """Users with a country, a platform, a taste for buying, and the second of their first visit."""

    def pick(options: tuple[tuple[str, float], ...]) -> np.ndarray:
        return draw.choice([name for name, _ in options], size=n, p=[share for _, share in options])

    return pl.DataFrame(
        {
            "user_id": np.arange(1, n + 1) + 2**53,
            "country": pick(COUNTRIES),
            "platform": pick(PLATFORMS),
            "taste": draw.gamma(1.2, 1 / 1.2, n),
            "spend": draw.lognormal(3.2, 0.6, n),
            "first_visit": draw.uniform(0, DAYS * 86_400 - 7_200, n).round(3),
            "arm": draw.choice(list(LIFT), size=n),
        }
    )


def at(seconds: np.ndarray) -> pl.Series:
    """Seconds after the start as points in time."""
    microseconds = (np.asarray(seconds) * 1_000_000).astype(np.int64) + int(START.timestamp() * 1_000_000)
    return pl.Series(microseconds).cast(pl.Datetime("us", "UTC"))


def make_exposures(users: pl.DataFrame, draw: np.random.Generator) -> pl.DataFrame:
    """The exposure log: one healthy experiment, one still running, and one sibling for every fault."""
    n = len(users)
    first = users["first_visit"].to_numpy()
    halves = {
        name: draw.choice(["control", "treatment"], size=n)
        for name in ("srm", "several", "leak", "null", "odd", "late")
    }
    parts = [
        _log(users, "checkout", users["arm"].to_numpy(), first),
        _log(
            users,
            "checkout",
            users["arm"].to_numpy(),
            first + draw.uniform(60, 7_000, n),
            keep=draw.random(n) < 0.3,
        ),
        _log(users, "search_ranking", halves["late"], first),
        _log(
            users,
            "banner",
            halves["late"],
            draw.uniform(0, (DAYS + 8) * 86_400, n),
            keep=draw.random(n) < 0.1,
        ),
        _srm(users, halves["srm"], first, draw),
        *_several(users, halves["several"], first, draw),
        _log(users, "fault_leak", _replaced(halves["leak"], "retired", draw.random(n) < LEAKED / n), first),
        _log(users, "fault_null_arm", _replaced(halves["null"], None, draw.random(n) < NO_ARM), first),
        _log(users, "fault_undeclared_arm", _replaced(halves["odd"], "tretment", draw.random(n) < MISSPELT), first),
    ]
    return pl.concat(parts).sort("ts", "experiment", "user_id")


def _log(
    users: pl.DataFrame,
    experiment: str,
    arms: np.ndarray,
    seconds: np.ndarray,
    keep: np.ndarray | None = None,
) -> pl.DataFrame:
    rows = users.select("user_id", "country", "platform").with_columns(
        ts=at(seconds), experiment=pl.lit(experiment), variant=pl.Series(arms, dtype=pl.String)
    )
    return rows if keep is None else rows.filter(pl.Series(keep))


def _replaced(arms: np.ndarray, value: str | None, where: np.ndarray) -> np.ndarray:
    changed = arms.astype(object)
    changed[where] = value
    return changed


def _srm(users: pl.DataFrame, arms: np.ndarray, first: np.ndarray, draw: np.random.Generator) -> pl.DataFrame:
    """From the tenth day on, the iOS app loses half of its treatment exposures."""
    lost = (
        (users["platform"].to_numpy() == SRM_PLATFORM)
        & (arms == "treatment")
        & (first > SRM_FROM_DAY * 86_400)
        & (draw.random(len(users)) < SRM_LOST)
    )
    return _log(users, "fault_srm", arms, first, keep=~lost)


def _several(users: pl.DataFrame, arms: np.ndarray, first: np.ndarray, draw: np.random.Generator) -> list[pl.DataFrame]:
    """1.5 % of units meet the other arm too."""
    twice = draw.random(len(users)) < SEVERAL_ARMS
    other = np.where(arms == "control", "treatment", "control")
    return [
        _log(users, "fault_several_arms", arms, first),
        _log(users, "fault_several_arms", other, first + 600, keep=twice),
    ]


def make_events(users: pl.DataFrame, draw: np.random.Generator) -> pl.DataFrame:
    """Visits, purchases and errors before and after exposure; only purchases feel the arm."""
    taste, first = users["taste"].to_numpy(), users["first_visit"].to_numpy()
    lift = np.array([LIFT[arm] for arm in users["arm"]])
    before = DAYS_BEFORE * 86_400
    parts = []
    for event, (rate, power) in BEHAVIOUR.items():
        mean = rate * taste**power
        after = mean * lift if event == "purchase" else mean
        parts.append(_events(users, event, draw.poisson(mean), first - before, before, draw))
        parts.append(_events(users, event, draw.poisson(after), first, 14 * 86_400, draw))
    return pl.concat(parts).sort("ts", "user_id", "event")


def _events(
    users: pl.DataFrame,
    event: str,
    counts: np.ndarray,
    origin: np.ndarray,
    span: float,
    draw: np.random.Generator,
) -> pl.DataFrame:
    index = np.repeat(np.arange(len(users)), counts)
    seconds = origin[index] + draw.uniform(0.5, span - 0.5, len(index))
    spend = users["spend"].to_numpy()[index] * draw.lognormal(0, 0.5, len(index))
    amount = np.where(event == "purchase", spend.round(2), np.nan)
    rows = pl.DataFrame({"user_id": users["user_id"].to_numpy()[index], "ts": at(seconds), "amount": amount})
    return rows.with_columns(event=pl.lit(event), amount=pl.col("amount").fill_nan(None)).filter(
        pl.col("ts") < (START + timedelta(days=DAYS + 8)).astimezone(UTC)
    )


if __name__ == "__main__":
    main()
