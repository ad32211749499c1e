"""The canonical form: one text per document, whoever writes it down."""

from __future__ import annotations

import hashlib
import json
import math
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.errors import SpecError
from xp_pipeline.spec.canonical import (
    HASH_VERSION,
    bytes_digest,
    canonical_bytes,
    digest,
    file_digest,
    plain,
    same_digest,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.text(max_size=6), JSON, max_size=5)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        # hashlib over json.dumps(spec, sort_keys=True), worked out apart from this package
        (
            {"primary_metric": "conversion_rate", "alpha": 0.05, "target_n": 10000},
            "d0aa136a1484c4b1452fb13f9c84319ecb4f58379df5d0d760040b87bb5b5d4f",
        ),
        (
            {"primary_metric": "conversion_rate", "alpha": 0.10, "target_n": 10000},
            "b37a78092fafd027f28663c0094af5222d35c93f08bbef8c43b4e9bff5467965",
        ),
    ],
)
def test_hash_v1_is_that_of_xpyrment(document: dict[str, Any], expected: str) -> None:
    assert HASH_VERSION == "v1"
    assert digest(document) == expected


def test_preregistration_card_has_the_hash_its_code_gives() -> None:
    """xpyrment 1.6.1.2 prints 88e6e885 in its documentation and computes 4dd983f0."""
    spec = {"metric": "conversion_rate", "alpha": 0.05, "target_n": 10000}
    assert digest(spec).startswith("4dd983f0")


@given(DOCUMENTS)
def test_form_is_json_dumps_with_sorted_keys(document: dict[str, Any]) -> None:
    assert canonical_bytes(document) == json.dumps(document, sort_keys=True).encode()


@given(DOCUMENTS)
def test_reading_the_form_back_gives_the_form_again(document: dict[str, Any]) -> None:
    form = canonical_bytes(document)
    assert json.loads(form) == document
    assert canonical_bytes(json.loads(form)) == form


@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_order_of_keys_does_not_matter(document: dict[str, Any], chance: Any) -> None:
    keys = list(document)
    chance.shuffle(keys)
    assert digest({key: document[key] for key in keys}) == digest(document)


def test_tuples_frozen_mappings_and_text_enums_count_as_what_they_hold() -> None:
    class Kind(StrEnum):
        MEAN = "mean"

    frozen = MappingProxyType({"arms": ("a", "b"), "kind": Kind.MEAN})
    assert canonical_bytes(frozen) == canonical_bytes({"arms": ["a", "b"], "kind": "mean"})
    assert type(plain(frozen)["kind"]) is str


def test_a_number_and_its_text_and_its_truth_differ() -> None:
    assert len({digest({"x": value}) for value in (1, 1.0, "1", True, None)}) == 5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_refuses_what_is_not_finite_and_names_the_key(value: float) -> None:
    with pytest.raises(SpecError, match=r"^metrics\[1\]\.cap: a number here is finite"):
        canonical_bytes({"metrics": [{}, {"cap": value}]})


@pytest.mark.parametrize("key", [1, None, True, 1.5, ("a",)])
def test_refuses_keys_that_are_not_text(key: object) -> None:
    with pytest.raises(SpecError, match=r"^arms: a key is text"):
        canonical_bytes({"arms": {key: "control"}})


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), Path("x"), 1j])
def test_refuses_what_json_has_no_form_for(value: object) -> None:
    with pytest.raises(SpecError, match=r"^a\.b: this value has no canonical form; found"):
        canonical_bytes({"a": {"b": value}})


@pytest.mark.parametrize("document", [[1], "text", None, 3])
def test_refuses_a_document_that_is_no_mapping(document: Any) -> None:
    with pytest.raises(SpecError, match="only a mapping"):
        canonical_bytes(document)


def test_refuses_a_document_that_contains_itself() -> None:
    document: dict[str, Any] = {}
    document["self"] = document
    with pytest.raises(SpecError, match="contains itself"):
        canonical_bytes(document)


def test_refuses_a_number_python_will_not_write() -> None:
    with pytest.raises(SpecError, match=r"^n: the number has too many digits"):
        canonical_bytes({"n": 10**5000})


def test_plain_shares_nothing_with_the_original() -> None:
    original = {"arms": ["a", {"b": 1}]}
    copy = plain(original)
    original["arms"][1]["b"] = 2  # type: ignore[index]
    assert copy == {"arms": ["a", {"b": 1}]}


def test_digests_of_bytes_and_files_agree(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    path = tmp_path / "content"
    path.write_bytes(content)
    assert file_digest(path) == bytes_digest(content) == hashlib.sha256(content).hexdigest()


def test_digests_are_compared_by_the_constant_time_function(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: asked.append((a, b)) or a == b)
    assert same_digest("ab", "ab")
    assert not same_digest("ab", "ac")
    assert not same_digest("ab", "änderung")
    assert len(asked) == 3
