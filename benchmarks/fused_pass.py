"""The fused pass against its floor: all metrics to moments, and a scan of the same columns with one hash group-by.

    python benchmarks/fused_pass.py [--units 5000000] [--rounds 5]

5 million units, 10 metrics, 2 segments from Parquet. Each round runs floor and pass in fresh processes, one after
the other; the ratio is taken pair by pair, so it holds on a machine whose speed drifts.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

METRICS = 10


def main() -> None:
    """Make the data once, then time floor and pass in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", choices=("floor", "pass"))
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(_measured(given.child, given.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        _make(Path(folder), given.units)
        rounds = [{kind: _child(kind, folder) for kind in ("floor", "pass")} for _ in range(given.rounds)]
    for name in ("cpu", "wall"):
        ratios = [r["pass"][name] / r["floor"][name] for r in rounds]
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        print(f"{name}: pass / floor = {middle:.2f} [{low:.2f}, {high:.2f}] over {given.rounds} rounds")
    for kind in ("floor", "pass"):
        cpu = statistics.median(r[kind]["cpu"] for r in rounds)
        peak = max(r[kind]["peak_mib"] for r in rounds)
        print(f"{kind}: median {cpu:.2f} cpu s, peak {peak:,.0f} MiB")


def _child(kind: str, folder: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", kind, "--folder", folder]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def _measured(kind: str, folder: Path) -> dict[str, float]:
    work = _floor if kind == "floor" else _pass
    import duckdb  # noqa: F401  (imports are not part of the figures)

    from xp_pipeline.lifecycle.measurement import measure  # noqa: F401

    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work(folder)
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "wall": wall, "peak_mib": after.ru_maxrss / 1024}


def _make(folder: Path, units: int) -> None:
    """A validated population and a unit table of ten outcomes, as the lake holds them."""
    from xp_pipeline.engine.duckdb import connect
    from xp_pipeline.language.buckets import storage_bucket_sql

    values = ", ".join(f"ln(1 + hash(unit, {m}) / 1.9e19 * 100) AS m{m}" for m in range(METRICS))
    with connect(threads=2) as con:
        con.execute(f"CREATE VIEW units AS SELECT range AS unit FROM range({units})")
        con.execute(
            f"COPY (SELECT unit, unit AS event_unit, CASE WHEN hash(unit, 'a') % 2 = 0 THEN 'control' ELSE 'treatment' "
            f"END AS arm, TIMESTAMP '2026-01-01' AS t0, {storage_bucket_sql('unit')} AS bucket, "
            f"'c' || (hash(unit, 'c') % 5) AS seg_0, 'p' || (hash(unit, 'p') % 3) AS seg_1 FROM units "
            f"ORDER BY bucket, unit) TO '{folder}/population.parquet' (FORMAT parquet, COMPRESSION zstd)"
        )
        con.execute(f"COPY (SELECT unit, {values} FROM units) TO '{folder}/values.parquet' (COMPRESSION zstd)")


def _floor(folder: Path) -> None:
    from xp_pipeline.engine.duckdb import connect

    sums = ", ".join(f"sum(m{m})" for m in range(METRICS))
    with connect(threads=2) as con:
        con.execute(
            f"SELECT count(*), sum(s) FROM (SELECT unit, {sums.replace(', ', ' + ')} AS s "
            f"FROM read_parquet('{folder}/values.parquet') GROUP BY unit)"
        ).fetchall()
        con.execute(
            f"SELECT arm, seg_0, seg_1, count(*) FROM read_parquet('{folder}/population.parquet') GROUP BY ALL"
        ).fetchall()


def _pass(folder: Path) -> None:
    from types import SimpleNamespace

    from xp_pipeline.lifecycle.measurement.columns import Horizon, Plan
    from xp_pipeline.lifecycle.measurement.measure import measured
    from xp_pipeline.spec.metric import Metric
    from xp_pipeline.spec.source import Source

    columns = {"unit": "integer", **{f"m{m}": "number" for m in range(METRICS)}}
    source = Source.model_validate(
        {"name": "values", "kind": "unit_table", "unit": "unit", "path": "values.parquet", "columns": columns}
    )
    workspace = SimpleNamespace(
        folder=SimpleNamespace(sources={"values": source}),
        version=lambda _: SimpleNamespace(data=folder / "values.parquet"),
    )
    metrics = [Metric(name=f"m{m}", type="mean", source="values", value=f"m{m}") for m in range(METRICS)]
    population = f"(SELECT *, t0 AS exposed_at FROM read_parquet('{folder}/population.parquet'))"
    plan = Plan(workspace, metrics, Horizon(None, None))  # type: ignore[arg-type]
    with measured(population, plan, segments=["seg_0", "seg_1"]) as measurement:
        assert len(measurement.readings()) == METRICS


if __name__ == "__main__":
    main()
