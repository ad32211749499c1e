"""Families: textbook adjustments, statsmodels' names, and members that leave."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.multiplicity import Method, adjust, simultaneous_alpha

FEW = settings(max_examples=25)
PS = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_holm_by_hand() -> None:
    assert adjust([0.01, 0.04, 0.03, 0.005], method="holm") == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_benjamini_hochberg_1995_example_rejects_four_of_fifteen() -> None:
    """Their thrombolysis example (J. R. Stat. Soc. B 57, section 4): Bonferroni rejects 3, theirs 4, at 0.05."""
    ps = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240,
        0.4262, 0.5719, 0.6528, 0.7590, 1.0,
    ]  # fmt: skip
    assert sum(p <= 0.05 for p in adjust(ps, method="fdr_bh") if p is not None) == 4
    assert sum(p <= 0.05 for p in adjust(ps, method="bonferroni") if p is not None) == 3


@pytest.mark.parametrize("method", [m for m in get_args(Method) if m != "none"])
def test_every_name_is_the_adjustment_of_statsmodels(method: Method) -> None:
    from statsmodels.stats.multitest import multipletests

    ps = [0.001, 0.2, 0.013, 0.04, 0.04, 0.9]
    name = "simes-hochberg" if method == "hochberg" else method
    assert adjust(ps, method=method) == pytest.approx(list(multipletests(ps, method=name)[1]))


@FEW
@given(PS, st.sampled_from(get_args(Method)))
def test_adjusted_is_at_least_raw_and_at_most_one(ps, method) -> None:
    found = adjust(ps, method=method)
    assert all(raw - 1e-12 <= p <= 1 for raw, p in zip(ps, found, strict=True) if p is not None)


@FEW
@given(PS, st.sampled_from(get_args(Method)), st.randoms())
def test_order_does_not_matter(ps, method, random) -> None:
    order = list(range(len(ps)))
    random.shuffle(order)
    plain, shuffled = adjust(ps, method=method), adjust([ps[i] for i in order], method=method)
    assert shuffled == pytest.approx([plain[i] for i in order])


@FEW
@given(PS)
def test_power_is_ordered(ps) -> None:
    hommel, hochberg, holm, bonferroni = (adjust(ps, method=m) for m in ("hommel", "hochberg", "holm", "bonferroni"))
    for a, b, c, d in zip(hommel, hochberg, holm, bonferroni, strict=True):
        assert a <= b + 1e-12
        assert b <= c + 1e-12
        assert c <= d + 1e-12


def test_undefined_members_leave_the_family() -> None:
    found = adjust([0.01, None, 0.03, math.nan], method="bonferroni")
    assert found[0] == pytest.approx(0.02)
    assert found[2] == pytest.approx(0.06)
    assert found[1] is None
    assert found[3] is None
    assert adjust([None, math.nan], method="holm") == [None, None]
    assert adjust([], method="holm") == []


def test_none_leaves_p_values_as_they_are() -> None:
    assert adjust([0.3, None, 0.01], method="none") == [0.3, None, 0.01]


def test_unknown_methods_and_impossible_p_values_are_refused() -> None:
    with pytest.raises(EvidenceError, match="did you mean 'holm'"):
        adjust([0.1], method="hom")  # type: ignore[arg-type]
    with pytest.raises(EvidenceError, match="probability"):
        adjust([1.2], method="holm")


def test_simultaneous_alpha_is_bonferronis() -> None:
    assert simultaneous_alpha(0.05, 4) == 0.0125
    with pytest.raises(EvidenceError, match="at least one"):
        simultaneous_alpha(0.05, 0)
