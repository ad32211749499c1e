"""Random numbers follow from names and versions."""

from __future__ import annotations

import hashlib

from xp_pipeline.calibration.cells import CELLS
from xp_pipeline.calibration.seeds import seed_of, stream


def test_a_seed_is_the_digest_of_cell_study_and_version() -> None:
    digest = hashlib.sha256(b"C1/normal, n=20/v3").digest()
    assert seed_of("C1", "normal, n=20", 3) == int.from_bytes(digest, "big")


def test_the_same_name_gives_the_same_numbers_and_another_version_others() -> None:
    first, again = (stream("C1", "normal", 1, 0).random(5).tolist() for _ in range(2))
    assert first == again
    others = [stream("C2", "normal", 1, 0), stream("C1", "lognormal", 1, 0), stream("C1", "normal", 2, 0)]
    assert all(first != other.random(5).tolist() for other in others)


def test_batches_have_streams_of_their_own() -> None:
    drawn = [tuple(stream("C1", "normal", 1, batch).random(3)) for batch in range(50)]
    assert len(set(drawn)) == 50


def test_no_two_studies_share_a_seed() -> None:
    seeds = [seed_of(cell.id, study.name, cell.version) for cell in CELLS.values() for study in cell.studies]
    assert len(set(seeds)) == len(seeds) > 200
