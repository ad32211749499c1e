"""Makes the mailing: recipients of eight versions of a letter, with known effects of four factors.

    python generate.py [--recipients 8000] [--out generated]

The same arguments give the same bytes. What is true of the data stands in README.md.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SEED = 20260601
EFFECT = {"subject": 0.6, "picture": 0.0, "button": -0.4, "hint": 1.0}
"""True effect of each factor's high level on the sum spent, averaged over the others."""
TOGETHER = 0.5
"""True interaction of subject and picture: half of what the subject adds more with a picture than without one."""
VERSIONS = [(s, p, b, s * p * b) for b in (-1, 1) for p in (-1, 1) for s in (-1, 1)]
"""Signs of subject, picture, button and hint; the hint's is the product of the others, so eight versions do for 16."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Write recipients.csv."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipients", type=int, default=8000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("generated"))
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "recipients.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["id", "version", "country", "before", "opened", "spend"], lineterminator="\n")
        table.writeheader()
        table.writerows(recipients(given.recipients))
    print(f"{given.recipients:,} recipients in {given.out / 'recipients.csv'}")


def recipients(n: int) -> Iterator[dict[str, Any]]:
    """Rows of so many recipients; the same number gives the same rows."""
    draw = random.Random(SEED)
    for number in range(1, n + 1):
        version = draw.randrange(len(VERSIONS))
        signs = dict(zip(EFFECT, VERSIONS[version], strict=True))
        added = sum(effect / 2 * signs[factor] for factor, effect in EFFECT.items())
        added += TOGETHER / 2 * signs["subject"] * signs["picture"]
        before = draw.gauss(20, 4)
        yield {
            "id": number,
            "version": f"v{version + 1}",
            "country": draw.choice(["DE", "FR", "NO"]),
            "before": f"{before:.4f}",
            "opened": int(draw.random() < 0.3 + 0.02 * signs["subject"]),
            "spend": f"{before + added + draw.gauss(0, 3):.4f}",
        }


if __name__ == "__main__":
    main()
