"""What serving asks of its parts: algorithms that choose, stores that remember, and assigners that know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from xp_pipeline.delivery.variants import ExperimentRecord, UserVariant

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A choice among arms.

    Attributes:
        index: Position of the arm, from 0.
        propensity: Probability with which this state chooses it, greater than 0.
    """

    index: int
    propensity: float


class Algorithm(Protocol[S]):
    """A way to choose among arms that may learn from rewards.

    The object holds settings; all that is learned is in its state, an immutable value that is passed in and
    returned. Everything is a pure function, so that a service and a nightly batch compute the same, and a replay
    reproduces them.
    """

    @property
    def name(self) -> str:
        """What it is called in records and logs, such as ``fixed``."""
        ...

    def initial(self, arms: int) -> S:
        """The state before anything was learned about this many arms."""
        ...

    def propensities(self, state: S) -> tuple[float, ...]:
        """Probability of each arm, in order; they sum to 1."""
        ...

    def choose(self, state: S, u: float) -> Drawn:
        """The arm for a uniform number ``u`` in [0, 1): the same for the same state and number."""
        ...

    def reward(self, state: S, index: int, score: float) -> S:
        """The state after one more reward of an arm.

        Raises:
            DataError: the score is not a finite number, or lies outside what the algorithm takes.
        """
        ...

    def dump(self, state: S) -> Mapping[str, Any]:
        """The state as JSON."""
        ...

    def load(self, document: Mapping[str, Any]) -> S:
        """The state from its JSON.

        Raises:
            DataError: the document is not a state of this algorithm.
        """
        ...


class AlgorithmRow(NamedTuple):
    """What is stored of an algorithm.

    Attributes:
        state: Its state as JSON text.
        version: How often it was stored, from 1.
    """

    state: str
    version: int


class Store(Protocol):
    """Where experiments, assignments and the states of algorithms are kept.

    Every method is atomic, blocking, and safe to call from several threads; the stores on disk also from several
    processes. All of them raise StoreError when the store is down, locked or refuses.
    """

    @property
    def blocks(self) -> bool:
        """Whether a call may wait for a disk or a network, so that an event loop hands it to a thread."""
        ...

    def experiment(self, name: str) -> ExperimentRecord | None:
        """The stored experiment of a name."""
        ...

    def enable(self, name: str, state: str | None, *, experiment_id: str | None = None) -> ExperimentRecord:
        """Store the experiment as enabled, with this first state of its algorithm unless it has one.

        A new one gets ``experiment_id``, by default an id of its own.
        """
        ...

    def switch(self, name: str, *, is_enabled: bool) -> ExperimentRecord | None:
        """Flip the master switch and keep everything else; None when nothing is stored."""
        ...

    def remove(self, name: str) -> bool:
        """Remove the experiment, its assignments and its algorithm together; whether there was one."""
        ...

    def assignment(self, experiment_id: str, user: str) -> UserVariant | None:
        """The assignment of a user."""
        ...

    def assign(self, row: UserVariant) -> UserVariant | None:
        """Store an assignment unless the user has one, and return the one that holds.

        None when the experiment is not stored, or is disabled: then nothing was stored.
        """
        ...

    def algorithm(self, experiment_id: str) -> AlgorithmRow | None:
        """The state of an experiment's algorithm."""
        ...

    def publish(self, experiment_id: str, state: str, *, expected: int | None = None) -> AlgorithmRow | None:
        """Replace the state of an algorithm; None when its version is not the expected one any more."""
        ...

    def reward(self, experiment_id: str, user: str, learn: Callable[[UserVariant, str], str]) -> bool:
        """Take a user's assignment and store the state that ``learn`` makes of it and the present state.

        Both happen or neither; False when the user has no assignment, or the experiment is disabled.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Assigned(NamedTuple):
    """What an assignment rule says about a unit.

    Attributes:
        arm: Name of the arm.
        propensity: Probability of the arm under the rule.
        version: Which version of which rule, for the exposure log.
    """

    arm: str
    propensity: float
    version: str


Assigner = Callable[[Mapping[str, Any]], Assigned | None]
"""A rule from the fields of a unit, its id under ``unit``, to its arm; None for a unit that it leaves out."""
