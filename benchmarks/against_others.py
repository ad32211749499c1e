"""Where well-known tools leave their promise: theirs and ours on the same draws, as a table; and where they agree.

    python benchmarks/against_others.py --others PYTHON [--replicates 10000] [--out docs] [--fixtures FOLDER]

PYTHON is an interpreter with the packages of against_others_requirements.txt, for which this project's environment is
no place: ``python -m venv others && others/bin/pip install -r benchmarks/against_others_requirements.txt``. What the
tools answer is computed for all experiments at once by others/formulas.py and held, in the same run, to the packages
themselves on the first data sets of every situation; a formula that differs by more than 1e-8 stops the run.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from others.cells import CELLS, CHECKED, Found, simulate
from others.fixtures import SAMPLES, Drawn, fixtures, samples
from others.formulas import Scale, documented_msprt, sequence_multiplier
from others.looks import (
    EXTRA,
    LATE,
    LAWS,
    PLANNED,
    POWER_DRIFT,
    Peeked,
    crossed,
    equal,
    late_looks,
    peeked,
    planned_looks,
    twins_apart,
    units_rescaled,
    upper,
    z_paths,
)
from others.page import Line, page
from others.unusual import BAD, ours_of_bad

TOLERANCE = 1e-8
STARTS: dict[Scale, int] = {"absolute": 0, "relative": 2}
"""Where the interval of a scale begins in a package's answers."""

SHOWN: dict[str, tuple[Scale, ...]] = {
    "Relative lift": ("relative",),
    "CUPED": ("relative",),
    "Small counts": ("absolute", "relative"),
    "Ratio": ("absolute",),
    "90/10": ("absolute",),
}
"""The scales of a table."""

PLAN_NAMES = {"obrien_fleming": "O'Brien-Fleming", "pocock": "Pocock"}
PLANS = [(kind, looks) for kind in PLAN_NAMES for looks in (5, 10)]


def main() -> None:
    """Simulate, ask the packages, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", type=Path, required=True, help="interpreter that has the other packages")
    parser.add_argument("--replicates", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="folder for against_others.md and .csv; printed unless given")
    parser.add_argument("--fixtures", type=Path, help="folder for others.json, the packages' answers for the tests")
    given = parser.parse_args()
    found = [simulate(cell, given.replicates) for cell in CELLS]
    watched = [peeked(law, lift, max(given.replicates * 2 // 5, 50)) for law in LAWS for lift in (0.0, 0.2)]
    if apart := twins_apart():
        raise SystemExit(f"{apart} looks at which the vectorised sequences do not decide as the shipped functions do")
    theirs = ask(given.others, found, watched)
    gaps = checked(found, watched, theirs)
    lines = [*covered(found), *monitored(watched, given.replicates), *sequential(theirs, given.replicates)]
    text = page(lines, replicates=given.replicates, versions=theirs["versions"], gaps=gaps, bad=unusual(theirs))
    if given.out:
        (given.out / "against_others.md").write_text(text, encoding="utf-8")
        _write_csv(given.out / "against_others.csv", lines)
    else:
        print(text)
    if given.fixtures:
        kept = fixtures(theirs, [case for p in watched for case in p.watched])
        (given.fixtures / "others.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def ask(python: Path, found: Sequence[Found], watched: Sequence[Peeked]) -> dict[str, Any]:
    """The packages' own answers, from their own interpreter."""
    sets: dict[str, Drawn] = samples()
    for f in found:
        sets |= {f"{f.cell.table}/{f.cell.name}/{i}": (f.cell.kind, pair) for i, pair in enumerate(f.first)}
    request = {
        "sets": [(name, kind) for name, (kind, _) in sets.items()],
        "rescaled": units_rescaled(),
        "unconditional": PLANS,
        "watched": [case for p in watched for case in p.watched],
        "ratios": SAMPLES,
        "bad": [(name, control, treatment) for name, control, treatment in BAD],
    }
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        (where / "request.json").write_text(json.dumps(request))
        values: dict[str, Any] = {f"{n}/{arm}": v for n, (_, pair) in sets.items() for arm, v in enumerate(pair)}
        np.savez(where / "data.npz", **values)
        script = Path(__file__).with_name("others") / "installed.py"
        done = subprocess.run([python, script, folder], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the other tools failed: {done.stderr.strip().splitlines()[-1]}")
        return dict(json.loads((where / "answers.json").read_text()))


def checked(found: Sequence[Found], watched: Sequence[Peeked], theirs: dict[str, Any]) -> dict[str, float]:
    """By tool, the largest relative difference between its formula here and the package."""
    gaps: dict[str, float] = {}
    for f in found:
        for i in range(CHECKED):
            answers = theirs["intervals"][f"{f.cell.table}/{f.cell.name}/{i}"]
            for scale, at in STARTS.items():
                for tool, (low, high) in f.replicated[scale].items():
                    told = answers[tool][at : at + 2] if isinstance(answers[tool], list) else [math.nan] * 2
                    gaps[tool] = max(gaps.get(tool, 0.0), _gap((low[i], high[i]), told))
    cases = [case for p in watched for case in p.watched]
    for case, told in zip(cases, theirs["watched"], strict=True):
        for tool, gap in _watched_gaps(case, told):
            gaps[tool] = max(gaps[tool], gap)
    if worst := [f"{tool}: {gap:.1e}" for tool, gap in gaps.items() if not gap <= TOLERANCE]:
        raise SystemExit(f"a formula is not the package's: {', '.join(worst)}")
    return gaps


def _gap(here: Sequence[float], told: Sequence[float]) -> float:
    """Relative to the width; no answer, or (0, 0), on both sides is no difference."""
    if told[0] == told[1] == 0 or not all(map(math.isfinite, told)):
        return math.inf if all(map(math.isfinite, here)) and here[0] != here[1] else 0.0
    width = abs(told[1] - told[0]) or 1.0
    return max(abs(a - b) for a, b in zip(here, told, strict=True)) / width


def _watched_gaps(
    case: tuple[int, list[float], list[float], float], told: dict[str, Any]
) -> Iterable[tuple[str, float]]:
    """Of gbstats' sequence and xpyrment's likelihood ratio at one look."""
    n, sums, squares, tau = case
    m = [s / n for s in sums]
    v = [(ss - s**2 / n) / (n - 1) / n for s, ss in zip(sums, squares, strict=True)]
    q = float(sequence_multiplier(np.array(2.0 * n), 5000))
    lift_se = math.sqrt(v[1] / m[0] ** 2 + v[0] * m[1] ** 2 / m[0] ** 4)
    for scale, centre, se in (
        ("absolute", m[1] - m[0], math.sqrt(v[0] + v[1])),
        ("relative", m[1] / m[0] - 1, lift_se),
    ):
        yield "gbstats", _gap((centre - q * se, centre + q * se), told[scale])
    log_ratio = float(documented_msprt(np.array(float(n)), np.array(m[1] - m[0]), np.array(v[0] * n), tau))
    if told["ratio"] < math.inf:
        yield "xpyrment", abs(math.exp(log_ratio) / told["ratio"] - 1)


def covered(found: Sequence[Found]) -> list[Line]:
    """Coverage of the lift, or of the difference where that is the point."""
    return [line for f in found for scale in SHOWN[f.cell.table] for line in _covered(f, scale)]


def _covered(f: Found, scale: Scale) -> Iterable[Line]:
    of = {"absolute": "difference", "relative": "lift"}[scale]
    situation = f"{f.cell.name}: {of}" if len(SHOWN[f.cell.table]) > 1 else f.cell.name
    for method, c in f.coverage[scale].items():
        yield Line(f.cell.table, situation, method, "covers", 0.95, c.covers, round(f.replicates * (1 - c.none)), c)
    if f.cell.table == "90/10":
        yield Line(
            f.cell.table,
            situation,
            "ours: flagged",
            "share",
            math.nan,
            f.flagged,
            len(f.replicated[scale]["gbstats"][0]),
        )


def monitored(watched: Sequence[Peeked], replicates: int) -> list[Line]:
    """Ever wrong under continuous monitoring."""
    count = max(replicates * 2 // 5, 50)
    return [
        Line("Peeking", f"{p.law.name}, lift {p.lift:.0%}", method, "wrong", 0.05, share, count)
        for p in watched
        for method, share in p.wrong.items()
    ]


def sequential(theirs: dict[str, Any], replicates: int) -> list[Line]:
    """Group-sequential plans, kept and overrun."""
    many = replicates * 10
    lines = []
    for kind, looks in PLANS:
        z = z_paths(f"plan/{kind}/{looks}", many, equal(looks))
        drifted = z + POWER_DRIFT * np.sqrt(np.array(equal(looks)))
        bounds = {"ours": upper(planned_looks(kind, looks)), "xpyrment": theirs["unconditional"][str((kind, looks))]}
        name = f"{PLAN_NAMES[kind]}, {looks} looks"
        for tool, b in bounds.items():
            lines.append(Line("Plan kept", f"{name}, no effect", tool, "wrong", 0.05, crossed(z, b), many))
            lines.append(Line("Plan kept", f"{name}, power", tool, "power", math.nan, crossed(drifted, b), many))
    return lines + _overruns([float(b) for b in theirs["rescaled"]], many)


def _overruns(rescaled: Sequence[float], many: int) -> list[Line]:
    lines = []
    for extra in EXTRA:
        z = z_paths(f"overrun/{extra}", many, equal(PLANNED, upto=PLANNED + extra))
        shares = {
            "ours": crossed(z[:, :PLANNED], upper(planned_looks("kim_demets", PLANNED))),
            "spotify": crossed(z, rescaled[: PLANNED + extra]),
        }
        name = f"10 looks, {extra} more" if extra else "10 looks, none more"
        lines += [Line("Overrun", name, tool, "wrong", 0.05, share, many) for tool, share in shares.items()]
    for end, bound in zip(LATE, rescaled[-len(LATE) :], strict=True):
        z = z_paths(f"late/{end:g}", many, [*equal(PLANNED, upto=PLANNED - 1), end])
        shares = {"ours": crossed(z, upper(late_looks(end))), "spotify": crossed(z, [*rescaled[: PLANNED - 1], bound])}
        name = f"9 looks, the last at {end:.0%} of the plan"
        lines += [Line("Overrun", name, tool, "wrong", 0.05, share, many) for tool, share in shares.items()]
    return lines


def unusual(theirs: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """By case of bad input, what every tool says."""
    return [(name, {"ours": ours_of_bad(c, t)} | theirs["bad"][name]) for name, c, t in BAD]


def _write_csv(path: Path, lines: Sequence[Line]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["table", "situation", "method", "measure", "promised", "found", "mc_error", "replicates",
                      "below", "above", "none", "unbounded"])  # fmt: skip
        for line in lines:
            c = line.coverage
            rest = [f"{x:.5f}" for x in (c.below, c.above, c.none, c.unbounded)] if c else [""] * 4
            promised = "" if math.isnan(line.promised) else f"{line.promised:g}"
            out.writerow([line.table, line.situation, line.method, line.measure, promised, f"{line.found:.5f}",
                          f"{line.error:.5f}", line.replicates, *rest])  # fmt: skip


if __name__ == "__main__":
    main()
