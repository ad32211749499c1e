"""Seeds that nobody chooses: derived from what is simulated and from the version of the method."""

from __future__ import annotations

import hashlib

from numpy.random import Generator, SeedSequence, default_rng


def seed_of(cell: str, study: str, version: int) -> int:
    """The entropy of a study: SHA-256 of ``cell/study/version``, as an integer."""
    return int.from_bytes(hashlib.sha256(f"{cell}/{study}/v{version}".encode()).digest())


def stream(cell: str, study: str, version: int, batch: int) -> Generator:
    """The random numbers of one batch, whichever process draws them and in whatever order."""
    return default_rng(SeedSequence(seed_of(cell, study, version), spawn_key=(batch,)))
