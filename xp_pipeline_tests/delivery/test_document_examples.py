"""Every example of the pyrosper document, with this package in its place.

Where the document contradicts itself: two symbols of one description are one symbol (its examples make them anew
at every use), a pick needs no type (the quick start gives none), an undefined ``pick_type`` is the type of the
value, a context adds the experiments that its code picks from, and "use as decorator" decorates.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from xp_pipeline.delivery import BaseContext, BaseExperiment, Pyrosper, Symbol, UserVariant, Variant, get_current, pick
from xp_pipeline_tests.delivery.duties import Kept

GREETINGS = ("Hello!", "Hi there!", "Hey!")


class Row(UserVariant):
    """A row with a constructor of its own, that does not call ours."""

    def __init__(self, experiment_id: str, user_id: str, index: int) -> None:
        self.experiment_id = experiment_id
        self.user_id = user_id
        self.index = index


class Weights:
    def __init__(self, weights: list[float]) -> None:
        self.weights = weights


class GreetingExperiment(BaseExperiment):
    """The complete example: stores on itself, and is stored only while it is enabled."""

    def __init__(self) -> None:
        super().__init__(
            name="greeting_experiment",
            variants=[
                Variant("control", {Symbol("greeting"): "Hello!"}),
                Variant("friendly", {Symbol("greeting"): "Hi there!"}),
                Variant("casual", {Symbol("greeting"): "Hey!"}),
            ],
        )
        self._algorithm = Weights([0.33, 0.33, 0.34])
        self._user_variants: dict[str, Any] = {}

    async def get_experiment(self) -> GreetingExperiment | None:
        return self if self.is_enabled else None

    async def upsert_experiment(self, experiment: Any) -> GreetingExperiment:
        self.is_enabled = experiment.is_enabled
        self.id = experiment.id
        return self

    async def delete_experiment(self, experiment: Any) -> None:
        self.reset()

    async def get_user_variant(self, user_id: Any, experiment_id: Any) -> Any:
        return self._user_variants.get(f"{user_id}_{experiment_id}")

    async def upsert_user_variant(self, user_variant: Any) -> None:
        self._user_variants[f"{user_variant.user_id}_{user_variant.experiment_id}"] = user_variant

    async def delete_user_variant(self, user_variant: Any) -> None:
        self._user_variants.pop(f"{user_variant.user_id}_{user_variant.experiment_id}", None)

    async def delete_user_variants(self) -> None:
        self._user_variants.clear()

    async def get_algorithm(self) -> Weights:
        return self._algorithm

    async def get_variant_index(self, algorithm: Weights) -> int:
        return random.choices(range(len(algorithm.weights)), weights=algorithm.weights)[0]

    async def reward_algorithm(self, algorithm: Weights, user_variant_index: int, score: float) -> Weights:
        raised = [w * (1 + score * 0.1) if i == user_variant_index else w for i, w in enumerate(algorithm.weights)]
        return Weights([w / sum(raised) for w in raised])

    async def upsert_algorithm(self, algorithm: Weights) -> None:
        self._algorithm = algorithm

    async def delete_algorithm(self) -> None:
        self._algorithm = Weights([0.33, 0.33, 0.34])


def test_basic_usage() -> None:
    pyrosper = Pyrosper()
    key: Symbol[str] = Symbol("greeting")
    experiment = Kept(
        name="greeting_experiment",
        variants=[
            Variant("control", {key: "Hello!"}),
            Variant("variant_a", {key: "Hi there!"}),
            Variant("variant_b", {key: "Hey!"}),
        ],
    )
    pyrosper.with_experiment(experiment)
    greeting_symbol: Symbol[str] = Symbol("greeting")
    assert pyrosper.pick(greeting_symbol) == "Hello!"


class UserContext(BaseContext):
    def __init__(self, user_id: str) -> None:
        super().__init__()
        self.user_id = user_id

    def setup(self) -> Pyrosper:
        pyrosper = Pyrosper().with_experiment(Kept())
        pyrosper.set_for_user_sync(self.user_id)
        return pyrosper


def test_the_context_system() -> None:
    key: Symbol[str] = Symbol("greeting")
    with UserContext("user123") as pyrosper:
        current = get_current()
        assert current is pyrosper
        assert current.pick(key) in GREETINGS

    @UserContext("user123")
    def get_user_greeting() -> str:
        return get_current().pick(key)

    assert get_user_greeting() in GREETINGS


def test_type_safe_picking() -> None:
    class GreetingVariant:
        def __init__(self, message: str, emoji: str) -> None:
            self.message = message
            self.emoji = emoji

    key: Symbol[GreetingVariant] = Symbol("greeting")
    variants = [
        Variant("control", {key: GreetingVariant("Hello", "👋")}),
        Variant("variant_a", {key: GreetingVariant("Hi there", "😊")}),
    ]
    pyrosper_instance = Pyrosper().with_experiment(Kept(variants=variants))
    greeting = pick(pyrosper_instance, key, GreetingVariant)
    greeting = pyrosper_instance.pick(key, GreetingVariant)
    assert f"{greeting.message} {greeting.emoji}" == "Hello 👋"


def test_the_complete_example() -> None:
    async def main() -> tuple[str, GreetingExperiment]:
        pyrosper = Pyrosper()
        experiment = GreetingExperiment()
        pyrosper.with_experiment(experiment)
        await experiment.enable()
        await pyrosper.set_for_user("user123")
        greeting_symbol: Symbol[str] = Symbol("greeting")
        greeting = pyrosper.pick(greeting_symbol, str)
        assert pyrosper.pick(greeting_symbol) == greeting
        await experiment.complete_for_user("user123", 0.8)
        return greeting, experiment

    greeting, experiment = asyncio.run(main())
    weights = experiment._algorithm.weights
    assert greeting in GREETINGS
    assert max(weights) > 0.345
    assert weights[GREETINGS.index(greeting)] > [0.33, 0.33, 0.34][GREETINGS.index(greeting)]


def test_a_row_of_ones_own_is_a_user_variant() -> None:
    row = Row("exp", "user123", 2)
    assert isinstance(row, UserVariant)
    assert (row.experiment_id, row.user_id, row.index, row.id) == ("exp", "user123", 2, None)


def test_multiple_experiments() -> None:
    greeting_exp = GreetingExperiment()
    color_exp = Kept("colors", [Variant("control", {Symbol("color"): "red"}), Variant("b", {Symbol("color"): "blue"})])
    pyrosper = Pyrosper()
    pyrosper.with_experiment(greeting_exp).with_experiment(color_exp)
    greeting_key: Symbol[str] = Symbol("greeting")
    color_key: Symbol[str] = Symbol("color")
    assert (pyrosper.pick(greeting_key), pyrosper.pick(color_key)) == ("Hello!", "red")


def test_experiment_validation_raises_value_error() -> None:
    pyrosper = Pyrosper().with_experiment(GreetingExperiment())
    with pytest.raises(ValueError, match="registered already"):
        pyrosper.with_experiment(GreetingExperiment())


def test_context_isolation() -> None:
    key: Symbol[str] = Symbol("greeting")
    with UserContext("user1") as pyrosper1:
        pyrosper1.get_experiment("greetings").use_variant("casual")
        with UserContext("user2") as pyrosper2:
            assert pyrosper1 is not pyrosper2
            assert (pyrosper1.pick(key), pyrosper2.pick(key)) == ("Hey!", "Hello!")


def test_the_methods_of_the_reference() -> None:
    for method in ("with_experiment", "pick", "has_pick", "set_for_user"):
        assert callable(getattr(Pyrosper, method))
    for method in ("enable", "disable", "complete_for_user", "get_variant"):
        assert asyncio.iscoroutinefunction(getattr(BaseExperiment, method))
