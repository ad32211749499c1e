"""Assignments per second and core: each bucket rule in DuckDB or Polars, beside the same program called unit by unit.

    python benchmarks/assignment_language.py [--units 2000000] [--rounds 5]

A program with two conditions over a table of integer ids, a country and an age. Each measurement is a fresh process
with one thread that makes every arm (Polars a column of them, DuckDB their counts), after one unmeasured turn; the
figure is the median over the rounds of units per second of processor time, with the slowest and the fastest round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from xp_pipeline.language import Program

PROGRAM = """
def checkout_button {
    salt: "checkout-2026"
    splitters: user_id
    if country == "US" and age >= 18 { return "control" weighted 1, "treatment" weighted 1 }
    else if country in ("FR", "DE") { return "control" weighted 9, "treatment" weighted 1 }
    else { return "control" weighted 1 }
}
"""
LOOP_UNITS = 200_000


def main() -> None:
    """Time every rule in every reading, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", choices=READINGS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(_measured(given.child, given.units)))
        return
    rounds = [{name: _child(name, given.units) for name in READINGS} for _ in range(given.rounds)]
    for name in READINGS:
        rates = [r[name]["rate"] / 1e6 for r in rounds]
        low, middle, high = min(rates), statistics.median(rates), max(rates)
        print(f"{name:18} {middle:6.2f} million/s [{low:.2f}, {high:.2f}]")


def _child(name: str, units: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", name, "--units", str(units)]
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return dict(json.loads(done.stdout))


def _measured(name: str, units: int) -> dict[str, float]:
    rule, reading = name.split()
    prepare = {"duckdb": _duckdb, "polars": _polars, "loop": _loop}[reading]
    count = min(units, LOOP_UNITS) if reading == "loop" else units
    work = prepare(rule, count)
    work()
    began = time.process_time()
    assigned = work()
    seconds = time.process_time() - began
    assert assigned == count
    return {"rate": count / seconds}


def _table(units: int) -> pl.DataFrame:
    """Ids of eight digits, five countries, ages to 80."""
    import polars as pl

    row = pl.int_range(units, eager=True)
    countries = pl.Series(["US", "FR", "DE", "GB", "IN"])
    return pl.DataFrame(
        {"user_id": row * 37 % 89_999_999 + 10_000_000, "country": countries.gather(row * 7 % 5), "age": row * 11 % 81}
    )


def _program(rule: str) -> Program:
    from xp_pipeline.language import Program

    return Program.parse(PROGRAM, rule=rule)  # type: ignore[arg-type]


def _duckdb(rule: str, units: int) -> Callable[[], int]:
    from xp_pipeline.engine.duckdb import connect

    con = connect(threads=1)
    con.register("arriving", _table(units).to_arrow())
    con.execute("CREATE TABLE units AS SELECT * FROM arriving")
    assigned = _program(rule).sql("units", {"user_id": "integer", "country": "text", "age": "integer"})
    query = f"SELECT arm, count(*) FROM ({assigned}) GROUP BY arm"
    return lambda: sum(count for _, count in con.execute(query).fetchall())


def _polars(rule: str, units: int) -> Callable[[], int]:
    program, frame = _program(rule), _table(units)
    return lambda: program.polars(frame)["arm"].count()


def _loop(rule: str, units: int) -> Callable[[], int]:
    program, rows = _program(rule), _table(units).to_dicts()
    return lambda: sum(program.assign(row).arm is not None for row in rows)


READINGS = (
    "v2 duckdb",
    "v1 duckdb",
    "growthbook polars",
    "v2 polars",
    "v1 polars",
    "v2 loop",
    "v1 loop",
    "growthbook loop",
)

if __name__ == "__main__":
    main()
