"""What may be registered beside what; a refused experiment leaves no trace."""

from __future__ import annotations

import pytest

from xp_pipeline.delivery import Pyrosper, Symbol, Variant
from xp_pipeline.delivery.errors import RegistrationError, UnknownNameError
from xp_pipeline.errors import XpError
from xp_pipeline_tests.delivery.duties import GREETING, Kept

COLOR: Symbol[str] = Symbol("color")


def _refused(pyrosper: Pyrosper, experiment: Kept, match: str) -> None:
    before = pyrosper.experiments
    with pytest.raises(RegistrationError, match=match) as caught:
        pyrosper.with_experiment(experiment)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, XpError)
    assert pyrosper.experiments == before
    assert not pyrosper.has_pick(COLOR)


def test_two_experiments_of_one_name() -> None:
    _refused(Pyrosper().with_experiment(Kept()), Kept(variants=[Variant("a", {COLOR: 1})]), "registered already")


@pytest.mark.parametrize("given", [None, "greetings", Kept, Variant("a", {COLOR: 1})])
def test_what_is_no_experiment(given: object) -> None:
    _refused(Pyrosper().with_experiment(Kept()), given, "this is no experiment")  # type: ignore[arg-type]


def test_no_variants() -> None:
    _refused(Pyrosper(), Kept(variants=[]), "Empty variants")


def test_two_variants_of_one_name() -> None:
    _refused(Pyrosper(), Kept(variants=[Variant("a", {COLOR: 1}), Variant("a", {COLOR: 2})]), "found a")


def test_a_missing_symbol_is_named() -> None:
    variants = [Variant("a", {COLOR: 1, GREETING: 2}), Variant("b", {COLOR: 1})]
    _refused(Pyrosper(), Kept(variants=variants), r"'a' and 'b' .* missing Symbol\(greeting\)")


def test_a_symbol_too_many_is_named() -> None:
    variants = [Variant("a", {COLOR: 1}), Variant("b", {COLOR: 1, GREETING: 2})]
    _refused(Pyrosper(), Kept(variants=variants), r"in addition Symbol\(greeting\)")


def test_a_symbol_of_another_experiment() -> None:
    variants = [Variant("a", {COLOR: 1, GREETING: 2})]
    _refused(Pyrosper().with_experiment(Kept()), Kept("other", variants), r"'greetings' serves .* Symbol\(greeting\)")


def test_a_control_that_is_no_variant() -> None:
    pyrosper = Pyrosper()
    with pytest.raises(UnknownNameError, match="did you mean 'casual'"):
        pyrosper.with_experiment(Kept(control="casul"))
    assert pyrosper.experiments == ()


def test_the_name_is_looked_at_before_the_variants() -> None:
    _refused(Pyrosper().with_experiment(Kept()), Kept(variants=[]), "registered already")


def test_look_ups() -> None:
    pyrosper = Pyrosper().with_experiment(Kept())
    assert pyrosper.get_experiment("greetings").name == "greetings"
    assert pyrosper.experiment_exists("greetings")
    assert not pyrosper.experiment_exists("greeting")
    pyrosper.check_experiment_has_variant("greetings", "casual")
    with pytest.raises(ValueError, match="did you mean 'greetings'"):
        pyrosper.get_experiment("greeting")
    with pytest.raises(ValueError, match="did you mean 'casual'"):
        pyrosper.check_experiment_has_variant("greetings", "casually")
    with pytest.raises(ValueError, match="no experiment"):
        pyrosper.check_experiment_has_variant("other", "casual")


def test_one_experiment_may_serve_several_symbols() -> None:
    pyrosper = Pyrosper().with_experiment(Kept(variants=[Variant("a", {COLOR: "red", "plain": 1})]))
    assert (pyrosper.pick(COLOR), pyrosper.pick("plain")) == ("red", 1)
