"""Writes two published trials from the package ``causaldata`` as CSV files.

    python prepare.py [--out generated]

Whole numbers are written as such: the package holds them as floats where a column has gaps.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Write thornton.csv and nsw.csv."""
    from causaldata import nsw_mixtape, thornton_hiv

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("generated"))
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    for name, data in (("thornton", thornton_hiv), ("nsw", nsw_mixtape)):
        frame = data.load_pandas().data.convert_dtypes()
        frame.to_csv(out / f"{name}.csv", index=False)
        print(f"{len(frame):,} rows in {out / name}.csv")


if __name__ == "__main__":
    main()
