"""The notebook experiment against xpyrment 1.6.1.2: time and memory from the frame to the results.

    python benchmarks/notebook.py --xpyrment PATH/TO/PYTHON [--units 1000000] [--rounds 5]

1 million units in a pandas frame; a mean with CUPED, a proportion and a ratio. Each round runs both in fresh
processes, one after the other, and the ratios are taken pair by pair, so they hold on a machine whose speed drifts.
Each process first analyses 2,000 units, so that imports are not timed; memory is the peak of resident memory above
what the process held, the frame included, when the clock started (Linux). Ours checks the ids and the sample ratio in
the same time, which the other does not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

MEASURES = ("wall", "cpu", "memory")
COLUMNS = ("spend", "before", "converted", "clicks", "views")


def main() -> None:
    """Make the data once, then time both in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--xpyrment", type=Path, help="interpreter that has xpyrment 1.6.1.2")
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", choices=("ours", "polars", "xpyrment"))
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(_measured(given.child, given.data)))
        return
    pythons = {"ours": Path(sys.executable), "polars": Path(sys.executable)}
    pythons |= {"xpyrment": given.xpyrment} if given.xpyrment else {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        _make(data, given.units)
        rounds = [{kind: _child(kind, python, data) for kind, python in pythons.items()} for _ in range(given.rounds)]
    for kind in pythons:
        wall, cpu, memory = (statistics.median(r[kind][name] for r in rounds) for name in MEASURES)
        print(f"{kind:9} {wall:6.3f} s  {cpu:6.3f} s of CPU  {memory:4.0f} MB above the frame")
    if given.xpyrment:
        for name in MEASURES:
            ratios = [r["ours"][name] / r["xpyrment"][name] for r in rounds]
            print(f"ours / xpyrment, {name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"effects agree: {_agree(rounds[0]['ours'], rounds[0]['xpyrment'])}")


def _make(path: Path, units: int) -> None:
    draw = np.random.default_rng(1)
    before = draw.gamma(2.0, 5.0, units)
    np.savez(
        path,
        unit=np.arange(units),
        treated=draw.integers(0, 2, units),
        before=before,
        spend=before + draw.normal(0, 4, units),
        converted=(draw.random(units) < 0.1).astype(np.int64),
        clicks=draw.poisson(2, units).astype(float),
        views=1.0 + draw.poisson(20, units),
    )


def _child(kind: str, python: Path, data: Path) -> dict[str, Any]:
    command = [str(python), __file__, "--child", kind, "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{kind} failed: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _measured(kind: str, data: Path) -> dict[str, Any]:
    arrays = np.load(data)
    analyse = _xpyrment if kind == "xpyrment" else _ours
    analyse(_frame(arrays, kind, 2_000))
    frame = _frame(arrays, kind, None)
    Path("/proc/self/clear_refs").write_text("5")
    held = _status("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    effects = analyse(frame)
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return {**spent, "memory": max(_status("VmHWM") - held, 0) / 1024, "effects": effects}


def _frame(arrays: Any, kind: str, units: int | None) -> Any:
    columns = {name: arrays[name][:units] for name in ("unit", *COLUMNS)}
    columns["arm"] = np.array(["control", "treatment"])[arrays["treated"][:units]]
    if kind == "polars":
        import polars as pl

        return pl.DataFrame(columns)
    import pandas as pd

    return pd.DataFrame(columns)


def _ours(frame: Any) -> dict[str, float]:
    from xp_pipeline import Experiment

    experiment = Experiment(frame, treatment_col="arm", id_col="unit")
    experiment.register_metric("spend", covariate="before")
    experiment.register_metric("converted", "proportion")
    experiment.register_metric("ctr", "ratio", numerator_col="clicks", denominator_col="views")
    experiment.design()
    return {r["metric_name"]: r["absolute_difference"] for r in experiment.start().run_analysis()}


def _xpyrment(frame: Any) -> dict[str, float]:
    from xpyrment import Experiment
    from xpyrment.analyze.orchestrator import run_analysis

    experiment = Experiment(frame, treatment_col="arm", id_col="unit")
    experiment.register_metric("spend", covariate="before")
    experiment.register_metric("converted", "proportion")
    experiment.register_metric("ctr", "ratio", numerator_col="clicks", denominator_col="views")
    results = run_analysis(experiment).raw_results
    return {r["metric_name"]: float(r["absolute_difference"]) for r in results}


def _agree(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """The unadjusted effects to 1e-9, the adjusted one to a tenth of a percent of the metric's spread."""
    pairs = {name: abs(value - theirs["effects"][name]) for name, value in ours["effects"].items()}
    return all(gap < (0.01 if name == "spend" else 1e-9) for name, gap in pairs.items())


def _status(field: str) -> int:
    """A line of the process's memory, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


if __name__ == "__main__":
    main()
