"""Writes two published trials from the package ``causaldata`` as CSV files.

python prepare.py [--out generated]
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    """Write thornton.csv and nsw.csv."""
    from causaldata import nsw_mixtape, thornton_hiv

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("generated"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, data in (("thornton", thornton_hiv), ("nsw", nsw_mixtape)):
        frame = data.load_pandas().data
        frame.to_csv(out / f"{name}.csv", index=False)
        print(f"{len(frame):,} rows in {out / name}.csv")


if __name__ == "__main__":
    main()
