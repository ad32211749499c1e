"""Serving starts fast: nothing of the analysis is imported, and no driver before it is used."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("dagster", "duckdb", "scipy", "polars", "numpy", "pandas", "pyarrow", "pydantic", "sqlalchemy", "openfeature")


def _imported(program: str) -> list[str]:
    told = f"import sys; {program}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert _imported("import xp_pipeline.delivery") == []


def test_serving_imports_nothing_heavy() -> None:
    program = (
        "from xp_pipeline.delivery import *; k = Symbol('k'); "
        "e = StoredExperiment('e', [Variant('a', {k: 1}), Variant('b', {k: 2})], store=MemoryStore()); "
        "e.enable_sync(); Pyrosper().with_experiment(e).set_for_user_sync(1).pick(k)"
    )
    assert _imported(program) == []


def test_reading_a_design_needs_no_engine() -> None:
    assert set(_imported("import xp_pipeline.spec.folder, xp_pipeline.delivery.designs")) <= {"pydantic"}
