"""Factorial designs: textbook fractions and their aliases, what is refused, and how arms and contrasts are made."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.design.aliases import DefiningRelation, Word, words_of
from xp_pipeline.design.contrasts import Factorial
from xp_pipeline.design.factorial import factorial
from xp_pipeline.errors import AliasError, SpecError
from xp_pipeline.language.buckets import bucket, choose
from xp_pipeline.stats.factorial import factorial_effect
from xp_pipeline.stats.moments import Moments

FILTRATION = {"temp": ["low", "high"], "press": ["low", "high"], "conc": ["low", "high"], "rate": ["low", "high"]}


def two_level(n: int) -> dict[str, list[int]]:
    """Factors A, B, C … of levels 0 and 1, lettered as in textbooks."""
    return {letter: [0, 1] for letter in "ABCDEFGHJKLMNOPQ"[:n]}


def signs(design: Factorial) -> dict[str, tuple[int, ...]]:
    """The column of signs of every factor."""
    return {f: tuple(1 if run[f] == high else -1 for run in design.arms.values())
            for f, (_, high) in design.factors.items()}  # fmt: skip


def means(design: Factorial, letters: dict[str, float]) -> dict[str, float]:
    """Responses by arm from Yates' labels: ``ab`` is the run with A and B at their high level."""
    names = dict(zip(design.factors, "abcd", strict=False))
    labels = {arm: "".join(names[f] for f in run if run[f] == design.factors[f][1]) for arm, run in design.arms.items()}
    return {arm: letters[label] for arm, label in labels.items()}


def effect(design: Factorial, request: str, responses: dict[str, float]) -> float:
    """The contrast of responses by arm."""
    return sum(weight * responses[arm] for arm, weight in design.contrast(request).weights.items())


def test_the_arms_of_a_full_factorial_are_all_combinations_in_standard_order() -> None:
    design = factorial({"colour": ["red", "blue", "green"], "free": [False, True]})
    assert list(design.arms) == [
        "colour=red,free=false",
        "colour=blue,free=false",
        "colour=green,free=false",
        "colour=red,free=true",
        "colour=blue,free=true",
        "colour=green,free=true",
    ]
    assert design.arms["colour=blue,free=true"] == {"colour": "blue", "free": "true"}
    assert design.control == "colour=red,free=false"
    assert (design.notation, design.generators, str(design.relation)) == ("3 x 2", (), "I")
    assert factorial(two_level(3)).notation == "2^3"


def test_the_half_fraction_of_the_filtration_experiment() -> None:
    """Montgomery 2017, Design and Analysis of Experiments, example 8.1: 2^(4-1), D = ABC, and its alias structure."""
    design = factorial(FILTRATION, generators=["D=ABC"])
    assert (design.notation, str(design.relation)) == ("2^(4-1) IV", "I = temp:press:conc:rate")
    table = {row.effect: row for row in design.alias_table()}
    assert table["temp"].aliased_with == ("press:conc:rate",)
    assert table["temp"].estimable
    assert table["temp:press"].aliased_with == ("conc:rate",)
    assert table["temp:conc"].aliased_with == ("press:rate",)
    assert table["temp:rate"].aliased_with == ("press:conc",)
    assert not table["temp:rate"].estimable
    assert {row.resolution for row in table.values()} == {"IV"}
    rates = {"": 45, "ad": 100, "bd": 45, "ab": 65, "cd": 75, "ac": 60, "bc": 80, "abcd": 96}
    found = {f: effect(design, f, means(design, rates)) for f in FILTRATION}
    assert found == pytest.approx({"temp": 19.0, "press": 1.5, "conc": 14.0, "rate": 16.5})


def test_the_pilot_plant_full_factorial() -> None:
    """Box, Hunter, Hunter 2005, Statistics for Experimenters, chapter 5: averages of yields, and their effects."""
    design = factorial({"T": [160, 180], "C": [20, 40], "K": ["A", "B"]})
    yields = {"": 60, "a": 72, "b": 54, "ab": 68, "c": 52, "ac": 83, "bc": 45, "abc": 80}
    found = {c.name: effect(design, c.name, means(design, yields)) for c in design.contrasts(3)}
    assert found == pytest.approx({"T": 23.0, "C": -5.0, "K": 1.5, "T:C": 1.5, "T:K": 10.0, "C:K": 0.0, "T:C:K": 0.5})


@pytest.mark.parametrize(
    ("n", "generators", "resolution", "relation"),
    [
        (3, ["C=AB"], "III", "I = A:B:C"),
        (3, ["C=-AB"], "III", "I = -A:B:C"),
        (5, ["D=AB", "E=AC"], "III", "I = A:B:D = A:C:E = B:C:D:E"),
        (5, ["E=ABCD"], "V", "I = A:B:C:D:E"),
        (6, ["E=ABC", "F=BCD"], "IV", "I = A:B:C:E = A:D:E:F = B:C:D:F"),
        (6, ["F=A*B*C*D*E"], "VI", "I = A:B:C:D:E:F"),
    ],
)
def test_textbook_defining_relations(n: int, generators: list[str], resolution: str, relation: str) -> None:
    """Montgomery 2017, table 8.14 and sections 8.2 to 8.4."""
    design = factorial(two_level(n), generators=generators)
    assert (design.relation.resolution_name, str(design.relation)) == (resolution, relation)
    assert len(design.arms) == 2 ** (n - len(generators))


def test_the_saturated_seven_factors_in_eight_runs() -> None:
    """Montgomery 2017, section 8.5: A is aliased with BD, CE and FG, and no two-factor interaction can be asked for."""
    design = factorial(two_level(7), generators=["D=AB", "E=AC", "F=BC", "G=ABC"])
    row = design.alias_table(1)[0]
    assert row.aliased_with[:3] == ("B:D", "C:E", "F:G")
    assert len(design.relation.words) == 15
    assert [c.name for c in design.contrasts(2)] == list("ABCDEFG")
    assert {row.estimable for row in design.alias_table(2) if row.order == 2} == {False}


@pytest.mark.parametrize(
    ("n", "resolution", "runs"),
    [(3, 3, 4), (5, 3, 8), (7, 3, 8), (15, 3, 16), (4, 4, 8), (7, 4, 16), (8, 4, 16), (5, 5, 16), (8, 5, 64)],
)
def test_designs_by_resolution_have_the_fewest_runs_of_the_tables(n: int, resolution: int, runs: int) -> None:
    """Box, Hunter, Hunter 2005, table 6.22, for numbers of runs."""
    design = factorial(two_level(n), resolution=resolution)
    assert len(design.arms) == runs
    assert design.relation.resolution is not None and design.relation.resolution >= resolution
    assert design.control == ",".join(f"{factor}=0" for factor in design.factors)
    again = factorial(two_level(n), generators=design.generators)
    assert again == design


def test_where_no_fraction_has_the_resolution_the_design_is_full() -> None:
    design = factorial(two_level(3), resolution=5)
    assert (design.notation, design.relation.resolution_name) == ("2^3", "full")


@st.composite
def fractions(draw: st.DrawFn) -> Factorial:
    """Fractions by random generators of two or more basic factors."""
    basic = draw(st.integers(2, 5))
    products = [c for order in range(2, basic + 1) for c in combinations("ABCDE"[:basic], order)]
    chosen = draw(st.lists(st.sampled_from(products), max_size=min(4, len(products)), unique=True))
    letters = "ABCDEFGHJKLM"[: basic + len(chosen)]
    minus = draw(st.lists(st.sampled_from(["", "-"]), min_size=len(chosen), max_size=len(chosen)))
    texts = [f"{f}={m}{''.join(p)}" for f, m, p in zip(letters[basic:], minus, chosen, strict=True)]
    return factorial({letter: [0, 1] for letter in letters}, generators=texts)


@given(design=fractions())
@settings(deadline=None, max_examples=40)
def test_the_alias_structure_is_that_of_the_columns(design: Factorial) -> None:
    columns = {f: np.array(column) for f, column in signs(design).items()}

    def column(factors: frozenset[str]) -> np.ndarray:
        return np.prod([np.ones(len(design.arms), int), *(columns[f] for f in factors)], axis=0)

    effects = [frozenset(c) for order in range(3) for c in combinations(design.factors, order)]
    for one in effects[1:]:
        aliases = {alias.factors: alias.sign for alias in design.relation.aliases(one)}
        for other in effects:
            if one != other:
                assert column(one) @ column(other) == aliases.get(other, 0) * len(design.arms)


@given(design=fractions())
@settings(deadline=None, max_examples=40)
def test_an_effect_is_given_exactly_when_no_alias_is_of_its_order_or_lower(design: Factorial) -> None:
    for row in design.alias_table(3):
        orders = [0 if name.strip("-") == "I" else name.count(":") + 1 for name in row.aliased_with]
        too_high = design.relation.resolution is not None and row.order > design.relation.resolution
        assert row.estimable == (not too_high and all(order > row.order for order in orders))
        if row.estimable:
            contrast = design.contrast(row.effect)
            assert contrast.aliased_with == row.aliased_with
            assert math.fsum(w for w in contrast.weights.values() if w > 0) == pytest.approx(1)
            assert math.fsum(contrast.weights.values()) == pytest.approx(0)
        else:
            with pytest.raises(AliasError):
                design.contrast(row.effect)


@given(design=fractions())
@settings(deadline=None)
def test_words_are_found_again_in_the_signs(design: Factorial) -> None:
    table = list(zip(*signs(design).values(), strict=True))
    words = words_of(list(design.factors), table)
    assert DefiningRelation.of(design.factors, words) == design.relation
    design.check(reversed(list(design.arms.values())))


def test_units_assigned_to_the_arms_of_a_fraction_give_its_effects_back() -> None:
    """Main effects 2, 0, -1 and 0.5 on 20,000 units split by the bucket rule, each within 4 standard errors."""
    design = factorial(FILTRATION, generators=["D=ABC"])
    truth = dict(zip(FILTRATION, (2.0, 0.0, -1.0, 0.5), strict=True))
    rng, outcomes = np.random.default_rng(5), {arm: [] for arm in design.arms}
    shares = dict.fromkeys(design.arms, 1.0)
    for unit in range(20_000):
        arm = choose(bucket("filtration", unit), shares)
        means = (size * (design.arms[arm][factor] == "high") for factor, size in truth.items())
        outcomes[arm].append(10 + sum(means) + rng.normal(scale=3))
    arms = {arm: Moments.of(values) for arm, values in outcomes.items()}
    for factor, size in truth.items():
        found = factorial_effect(arms, design.contrast(factor).weights)
        assert found.effect == pytest.approx(size, abs=4 * found.se)
        assert found.se == pytest.approx(2 * 3 / math.sqrt(20_000), rel=0.05)


def test_an_aliased_effect_is_refused_naming_what_it_is_confounded_with() -> None:
    design = factorial(FILTRATION, generators=["rate=temp:press:conc"])
    with pytest.raises(AliasError, match="temp:press cannot be told from conc:rate; found a design of resolution IV"):
        design.contrast("temp:press")
    with pytest.raises(AliasError, match="press:conc:rate cannot be told from temp"):
        design.contrast("press:conc:rate")
    with pytest.raises(AliasError, match="temp:press:conc:rate cannot be told from the mean"):
        design.contrast("temp:press:conc:rate")
    with pytest.raises(AliasError, match="temp cannot be told from -press"):
        DefiningRelation(("temp", "press"), (Word(frozenset({"temp", "press"}), -1),)).demand(frozenset({"temp"}))


def test_an_effect_above_the_resolution_is_refused_even_where_its_aliases_are_higher_still() -> None:
    design = factorial(two_level(9), generators=["J=AB"])
    assert design.relation.resolution == 3
    design.contrast("C:D:E")
    with pytest.raises(AliasError, match=r"C:D:E:F is of order 4, above the resolution, and .* A:B:C:D:E:F:J"):
        design.contrast("C:D:E:F")


@pytest.mark.parametrize("generators", [["D=A"], ["D=-A"], ["D=AB", "E=AB"]])
def test_generators_that_confound_main_effects_are_refused(generators: list[str]) -> None:
    with pytest.raises(AliasError, match="the generators confound main effects; found I ="):
        factorial(two_level(3 + len(generators)), generators=generators)


def test_runs_of_another_fraction_are_refused_naming_the_terms_they_confound() -> None:
    design = factorial(FILTRATION, generators=["D=ABC"])
    with pytest.raises(AliasError, match=r"rate=temp:press:conc: .* which confounds rate with -temp:press:conc;"):
        design.check(factorial(FILTRATION, generators=["D=-ABC"]).arms.values())
    with pytest.raises(AliasError, match="which confounds rate with temp:press"):
        design.check(factorial(FILTRATION, generators=["D=AB"]).arms.values())


def test_runs_that_never_change_a_factor_are_refused() -> None:
    design = factorial(FILTRATION)
    with pytest.raises(AliasError, match="which confounds the mean with temp, "):
        design.check([run for run in design.arms.values() if run["temp"] == "low"])


def test_runs_that_lack_an_arm_are_refused_naming_it_and_the_terms() -> None:
    design = factorial(FILTRATION)
    runs = [run for arm, run in design.arms.items() if arm != "temp=high,press=high,conc=low,rate=low"]
    with pytest.raises(AliasError, match=r"found temp=high,press=high,conc=low,rate=low missing, none added, .*temp"):
        design.check(runs)
    mixed = factorial({"colour": ["red", "blue", "green"], "size": ["s", "l"]})
    with pytest.raises(AliasError, match="the mean with colour=blue"):
        mixed.check(list(mixed.arms.values())[1:])


def test_runs_may_be_given_in_any_order_and_as_yaml_reads_them() -> None:
    design = factorial({"free": [False, True], "price": [1, 1.5]})
    design.check([{"price": price, "free": free} for price in (1.5, 1) for free in (True, False)])


def test_a_factor_of_several_levels_says_which_is_compared() -> None:
    design = factorial({"colour": ["red", "blue", "green"], "size": ["s", "l"]})
    assert [c.name for c in design.contrasts()] == [
        "colour=blue", "colour=green", "size", "colour=blue:size", "colour=green:size",
    ]  # fmt: skip
    responses = dict(zip(design.arms, [1.0, 2.0, 4.0, 3.0, 9.0, 5.0], strict=True))
    assert effect(design, "colour=blue", responses) == pytest.approx((2 + 9) / 2 - (1 + 3) / 2)
    assert effect(design, "size", responses) == pytest.approx((3 + 9 + 5) / 3 - (1 + 2 + 4) / 3)
    assert effect(design, "size:colour=blue", responses) == pytest.approx(((9 - 3) - (2 - 1)) / 2)
    with pytest.raises(SpecError, match="colour: an effect compares a level with the first; found no level; allowed: "):
        design.contrast("colour")
    with pytest.raises(SpecError, match="found red; allowed: colour=blue, colour=green"):
        design.contrast("colour=red")


@pytest.mark.parametrize(
    ("request_", "message"),
    [("pres", "did you mean 'press'"), ("temp:temp", "appears twice"), ("", "no such factor"), ([], "at least one")],
)
def test_effects_without_meaning_are_refused(request_: str | list[str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        factorial(FILTRATION).contrast(request_)


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        ("D=ABX", "no such factor"),
        ("Q=AB", "no such factor; found Q"),
        ("D=tempo", "did you mean 'temp'"),
        ("D=AAB", "each once"),
        ("D=ABD", "each once"),
        ("CD=AB", "makes one factor of others"),
        ("ABC", "such as D=ABC or rate=temp:press"),
        ("", "such as D=ABC"),
    ],
)
def test_generators_without_meaning_are_refused(generator: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        factorial(FILTRATION, generators=[generator])


@given(text=st.text(max_size=12))
def test_any_text_is_a_generator_or_an_error(text: str) -> None:
    try:
        factorial(FILTRATION, generators=[text])
    except (SpecError, AliasError):
        pass
    else:
        assert "=" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factors": {"a": [0, 1]}}, "two factors or more"),
        ({"factors": {"a": [0, 1], "b": [0]}}, "b: a factor has two levels"),
        ({"factors": {"a": [0, 1], "b": [1, "1"]}}, "each once"),
        ({"factors": {"a": [0, 1], "b c": [0, 1]}}, "letters, digits and underscores"),
        ({"factors": {"a": [0, 1], "b": ["x,y", "z"]}}, "without commas"),
        ({"factors": {"a": [0, 1], "b": ["", "z"]}}, "without commas"),
        ({"factors": two_level(9)}, "too many arms; found 512"),
        ({"factors": two_level(3), "resolution": 2}, "resolution III, IV or V"),
        ({"factors": two_level(3), "resolution": 3, "generators": ["C=AB"]}, "by generators or by resolution"),
        ({"factors": {"a": [0, 1, 2], "b": [0, 1]}, "resolution": 3}, "two levels; found more of a"),
        ({"factors": two_level(4), "generators": ["D=AB", "D=AC"]}, "one generator"),
        ({"factors": two_level(5), "generators": ["D=AB", "E=AD"]}, "run freely; found D; allowed: A, B, C"),
    ],
)
def test_designs_without_meaning_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        factorial(**arguments)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"a": 0}, "a level of every factor"),
        ({"a": 0, "b": 0, "c": 0}, "a level of every factor"),
        ({"a": 0, "b": 2}, "b: no such level; found 2; allowed: 0, 1"),
        ({"a": 0, "b": 1}, "a run appears twice; found a=0,b=1"),
    ],
)
def test_runs_without_meaning_are_refused(run: dict[str, int], message: str) -> None:
    design = factorial({"a": [0, 1], "b": [0, 1]})
    with pytest.raises(SpecError, match=message):
        design.check([*design.arms.values(), run])
