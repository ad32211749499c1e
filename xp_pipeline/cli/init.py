"""``xp init``: a project that runs as it is."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from xp_pipeline.errors import SpecError

TEMPLATE = Path(__file__).with_name("template")
VISITORS = 8_000
_SEED = 20260105


def create(folder: Path) -> list[Path]:
    """Write the template and its data; nothing that exists is touched.

    Raises:
        SpecError: the folder exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise SpecError("the folder is not empty", where=str(folder), next_step="name a new one")
    shutil.copytree(TEMPLATE, folder, dirs_exist_ok=True)
    (folder / "assignments").mkdir()
    (folder / "data").mkdir()
    _write_visitors(folder / "data" / "visitors.csv")
    (folder / ".gitignore").write_text("lake/\n.dagster/\n")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write_visitors(path: Path) -> None:
    """Made-up visitors: the short form raises sign-ups from 20 % to 23 % and leaves revenue alone."""
    draw = random.Random(_SEED)
    with path.open("w", encoding="utf-8") as file:
        file.write("visitor_id,variant,country,signed_up,revenue,revenue_before\n")
        for visitor in range(1, VISITORS + 1):
            variant = draw.choice(("control", "short_form"))
            country = draw.choices(("DE", "FR", "NO"), (5, 3, 2))[0]
            signed_up = draw.random() < (0.23 if variant == "short_form" else 0.20)
            taste = draw.lognormvariate(2.0, 0.8)
            before = round(taste * draw.lognormvariate(0, 0.3), 2)
            revenue = round(taste * draw.lognormvariate(0, 0.3), 2)
            file.write(f"{visitor},{variant},{country},{str(signed_up).lower()},{revenue},{before}\n")
