"""Rendering needs no engine, no numerics and no chart library."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("numpy", "polars", "duckdb", "scipy", "pandas", "dagster", "altair", "vl_convert", "pyarrow")


def test_importing_the_report_imports_nothing_heavy() -> None:
    program = (
        "import sys; from xp_pipeline.report import card, charts, html, markdown; "
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
