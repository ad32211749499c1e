"""Numbers are printed with the digits they deserve."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.report.format import (
    DASH,
    PERCENT,
    POINTS,
    compact,
    count,
    decimals_for,
    figure,
    interval,
    moment,
    number,
    p_value,
    percent_level,
    sentence,
    share,
    shared_decimals,
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64)


@pytest.mark.parametrize(
    ("width", "decimals"),
    [(0.0123, 3), (0.6, 2), (1.35, 1), (12.0, 0), (12_345.0, 0), (0.1, 2), (1.0, 1)],
)
def test_decimals_show_two_digits_of_the_half_width(width: float, decimals: int) -> None:
    assert decimals_for(width) == decimals


@pytest.mark.parametrize("width", [None, 0.0, -1.0, math.nan, math.inf])
def test_no_width_no_decimals(width: float | None) -> None:
    assert decimals_for(width) is None


def test_the_unit_counts_for_decimals() -> None:
    assert decimals_for(0.006, unit=PERCENT) == 2


def test_numbers_below_each_other_take_the_narrowest_interval() -> None:
    assert shared_decimals([(-1.0, 1.0), (0.0, 0.05), (None, 2.0), (3.0, 3.0)]) == 3
    assert shared_decimals([(None, None)]) is None


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (1234567.891, {"decimals": 1}, "1,234,567.9"),
        (-0.5, {}, "−0.500"),
        (-0.0001, {"decimals": 2}, "0.00"),
        (-0.0, {}, "0"),
        (0.0041, {"decimals": 2, "unit": POINTS, "signed": True}, "+0.41 pp"),
        (0.4482, {"decimals": 1, "unit": PERCENT}, "44.8%"),
        (1.234e-9, {}, "1.23×10⁻⁹"),
        (-1.234e-9, {"signed": True}, "−1.23×10⁻⁹"),
        (6.02e23, {}, "6.02×10²³"),
        (0.0, {"decimals": 12}, "0"),
        (28.0, {}, "28"),
        (None, {}, DASH),
        (math.nan, {}, DASH),
        (math.inf, {}, DASH),
    ],
)
def test_number(value: float | None, options: dict[str, object], text: str) -> None:
    assert number(value, **options) == text  # type: ignore[arg-type]


@given(NUMBERS, st.integers(0, 6))
def test_a_printed_number_reads_back_to_what_was_rounded(value: float, decimals: int) -> None:
    text = number(value, decimals=decimals)
    if "×" not in text:
        assert float(text.replace(",", "").replace("−", "-")) == pytest.approx(value, abs=0.5000001 * 10**-decimals)


@given(NUMBERS, st.none() | st.integers(0, 12), st.booleans())
def test_no_negative_zero_no_hyphen_no_nan(value: float, decimals: int | None, signed: bool) -> None:
    text = number(value, decimals=decimals, signed=signed)
    assert "-" not in text
    assert "nan" not in text
    assert "inf" not in text
    if text[0] in "+−":
        assert any(digit in "123456789" for digit in text)


@given(NUMBERS, st.integers(0, 6))
def test_opposite_numbers_differ_in_their_sign_alone(value: float, decimals: int) -> None:
    one, other = number(value, decimals=decimals), number(-value, decimals=decimals)
    assert one.removeprefix("−") == other.removeprefix("−")


@pytest.mark.parametrize(
    ("low", "high", "unbounded", "text"),
    [
        (-0.014, 0.032, False, "−1.4 to +3.2%"),
        (None, None, False, DASH),
        (None, None, True, "unbounded"),
        (-math.inf, math.inf, True, "unbounded"),
        (None, 0.032, True, "below +3.2%"),
        (0.01, math.inf, True, "above +1.0%"),
        (0.01, None, False, DASH),
    ],
)
def test_interval(low: float | None, high: float | None, unbounded: bool, text: str) -> None:
    assert interval(low, high, decimals=1, unit=PERCENT, unbounded=unbounded).text == text


@pytest.mark.parametrize(
    ("p", "text"), [(0.0312, "0.0312"), (0.00001, "<0.0001"), (0.0, "<0.0001"), (1.0, "1.0000"), (None, DASH)]
)
def test_p_value(p: float | None, text: str) -> None:
    assert p_value(p).text == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (0.99999, ">99.9%"),
        (0.9994, "99.9%"),
        (0.00001, "<0.01%"),
        (0.0027, "0.27%"),
        (0.5, "50.0%"),
        (None, DASH),
    ],
)
def test_share(value: float | None, text: str) -> None:
    assert share(value).text == text


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_a_share_is_never_rounded_to_all_or_nothing(value: float) -> None:
    assert share(value).text not in ("100%", "100.0%", "0%", "0.0%", "0.00%")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.1e12, "4.10×10¹²"),
        (-3.2e8, "−3.20×10⁸"),
        (1000.0, "1,000"),
        (0.00017, "0.00017"),
        (0.0, "0"),
        (-2.5, "−2.5"),
        (None, DASH),
    ],
)
def test_compact(value: float | None, text: str) -> None:
    assert compact(value) == text


def test_a_figure_keeps_the_number_it_prints() -> None:
    assert figure(0.12345, decimals=2) == (0.12345, "0.12")
    assert figure(None) == (None, DASH)
    assert count(66_412) == (66_412.0, "66,412")


def test_words_around_numbers() -> None:
    assert percent_level(0.995) == "99.5%"
    assert moment("2026-01-05T00:00:00+00:00") == "2026-01-05"
    assert moment("2026-01-05T14:30:12+00:00") == "2026-01-05 14:30"
    assert sentence("no variance") == "No variance."
    assert sentence("Why?") == "Why?"
