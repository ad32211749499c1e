"""An experiment that keeps its state in dictionaries, as a team without a store of ours would write it."""

from __future__ import annotations

import asyncio
from typing import Any

from xp_pipeline.delivery import BaseExperiment, ExperimentRecord, Symbol, UserVariant, Variant

GREETING: Symbol[str] = Symbol("greeting")


def greetings() -> list[Variant]:
    """Control and two ways to greet."""
    return [
        Variant("control", {GREETING: "Hello!"}),
        Variant("friendly", {GREETING: "Hi there!"}),
        Variant("casual", {GREETING: "Hey!"}),
    ]


class Kept(BaseExperiment):
    """Every duty in memory; ``draws`` are the positions that the algorithm will choose, the last one for ever."""

    def __init__(self, name: str = "greetings", variants: list[Variant] | None = None, **options: Any) -> None:
        super().__init__(name, greetings() if variants is None else variants, **options)
        self.draws: list[Any] = [1]
        self.asked = 0
        self.given_id: Any = "exp-1"
        self.stored: ExperimentRecord | None = None
        self.rows: dict[tuple[Any, Any], Any] = {}
        self.learned: dict[int, float] = {}
        self.has_algorithm = False
        self.fails: dict[str, Exception] = {}
        self.log_of_duties: list[str] = []

    async def _duty(self, name: str) -> None:
        self.log_of_duties.append(name)
        await asyncio.sleep(0)
        if name in self.fails:
            raise self.fails[name]

    async def get_experiment(self) -> Any:
        await self._duty("get_experiment")
        return self.stored

    async def upsert_experiment(self, experiment: ExperimentRecord) -> Any:
        await self._duty("upsert_experiment")
        self.stored = experiment._replace(id=self.given_id)
        return self.stored

    async def delete_experiment(self, experiment: Any) -> None:
        await self._duty("delete_experiment")
        self.stored = None

    async def get_user_variant(self, user_id: Any, experiment_id: Any) -> Any:
        await self._duty("get_user_variant")
        return self.rows.get((experiment_id, user_id))

    async def upsert_user_variant(self, user_variant: UserVariant) -> None:
        await self._duty("upsert_user_variant")
        self.rows[user_variant.experiment_id, user_variant.user_id] = user_variant

    async def delete_user_variant(self, user_variant: UserVariant) -> None:
        await self._duty("delete_user_variant")
        del self.rows[user_variant.experiment_id, user_variant.user_id]

    async def delete_user_variants(self) -> None:
        await self._duty("delete_user_variants")
        self.rows.clear()

    async def get_algorithm(self) -> dict[int, float]:
        await self._duty("get_algorithm")
        return self.learned

    async def get_variant_index(self, algorithm: Any) -> Any:
        await self._duty("get_variant_index")
        self.asked += 1
        return self.draws.pop(0) if len(self.draws) > 1 else self.draws[0]

    async def reward_algorithm(self, algorithm: dict[int, float], user_variant_index: int, score: float) -> Any:
        await self._duty("reward_algorithm")
        return {**algorithm, user_variant_index: algorithm.get(user_variant_index, 0.0) + score}

    async def upsert_algorithm(self, algorithm: dict[int, float]) -> None:
        await self._duty("upsert_algorithm")
        self.learned, self.has_algorithm = algorithm, True

    async def delete_algorithm(self) -> None:
        await self._duty("delete_algorithm")
        self.learned, self.has_algorithm = {}, False


def enabled(**options: Any) -> Kept:
    """The experiment, enabled."""
    experiment = Kept(**options)
    experiment.enable_sync()
    experiment.log_of_duties.clear()
    return experiment
