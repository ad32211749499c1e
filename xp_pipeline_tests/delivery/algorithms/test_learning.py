"""The algorithms: their shares, their floors, what they consume once, and what they refuse."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.delivery import MemoryStore, StoredExperiment, Symbol, Variant
from xp_pipeline.delivery.algorithms import (
    ALGORITHMS,
    UCB1,
    BatchAlgorithm,
    EpsilonGreedy,
    FixedWeights,
    Learned,
    Rewards,
    ThompsonBeta,
    ThompsonGaussian,
    TopTwoBeta,
    TopTwoGaussian,
    algorithm_named,
)
from xp_pipeline.delivery.algorithms.rewards import merged
from xp_pipeline.delivery.algorithms.shares import floored
from xp_pipeline.delivery.errors import CorruptStateError
from xp_pipeline.delivery.protocols import Algorithm
from xp_pipeline.errors import DataError, XpError

LEARNERS = [EpsilonGreedy, UCB1, ThompsonBeta, ThompsonGaussian, TopTwoBeta, TopTwoGaussian]


def binary(n: int, successes: int) -> Rewards:
    mean = successes / n if n else 0.0
    return Rewards(n, mean, n * mean * (1 - mean))


WEEK = {
    "2026-03-01": (binary(50, 5), binary(50, 9)),
    "2026-03-02": (binary(30, 2), binary(70, 12)),
    "2026-03-03": (binary(20, 4), binary(80, 20)),
}


def learned(algorithm: Any, batches: Any = None) -> Any:
    state = algorithm.initial(2)
    for batch_id, rewards in (WEEK if batches is None else batches).items():
        state = algorithm.consume(state, batch_id, rewards)
    return state


# --- shares ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=9).filter(any), st.floats(0, 0.11))
def test_shares_keep_the_floor_and_sum_to_exactly_one(wanted, floor) -> None:
    shares = floored(wanted, floor)
    assert sum(shares) == 1.0 and sum(reversed(shares)) == 1.0
    assert sum(map(Fraction, shares)) == 1
    assert min(shares) >= floor


def test_a_floor_that_is_every_share() -> None:
    assert floored([1, 0, 0, 0], 0.25) == (0.25, 0.25, 0.25, 0.25)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=9))
def test_fixed_shares_sum_to_exactly_one_and_stay_through_json(weights) -> None:
    algorithm = FixedWeights(weights)
    shares = algorithm.propensities(algorithm.initial(len(weights)))
    assert sum(shares) == sum(reversed(shares)) == 1.0
    assert shares == pytest.approx([w / sum(weights) for w in weights], abs=1e-11)
    assert algorithm.load(algorithm.dump(shares)) == shares


@pytest.mark.parametrize("make", LEARNERS)
def test_every_learner_keeps_its_floor(make) -> None:
    algorithm = make(floor=0.1)
    sure = {"a": (binary(100_000, 10), binary(100_000, 60_000))}
    shares = algorithm.propensities(learned(algorithm, sure))
    assert min(shares) >= 0.1 and sum(shares) == 1.0
    assert shares[1] >= shares[0]


@pytest.mark.parametrize("make", LEARNERS)
def test_before_any_reward_all_arms_are_equal(make) -> None:
    algorithm = make()
    assert algorithm.propensities(algorithm.initial(4)) == (0.25,) * 4


@pytest.mark.parametrize("make", LEARNERS)
def test_swapping_the_arms_swaps_the_shares(make) -> None:
    algorithm = make()
    swapped = {batch: rewards[::-1] for batch, rewards in WEEK.items()}
    one, other = (algorithm.propensities(learned(algorithm, batches)) for batches in (WEEK, swapped))
    assert one == pytest.approx(other[::-1], abs=1e-9)


@pytest.mark.parametrize("make", [ThompsonGaussian, TopTwoGaussian, EpsilonGreedy])
def test_rewards_may_be_shifted_and_scaled(make) -> None:
    plain = {"a": (Rewards(40, 1.0, 40.0), Rewards(60, 1.1, 90.0))}
    moved = {"a": tuple(Rewards(n, 1e6 + 7 * mean, 49 * central) for n, mean, central in plain["a"])}
    algorithm = make()
    one, other = (algorithm.propensities(learned(algorithm, batches)) for batches in (plain, moved))
    assert one == pytest.approx(other, abs=1e-6)


def test_epsilon_greedy_by_hand() -> None:
    algorithm = EpsilonGreedy(epsilon=0.2, floor=0.0)
    assert algorithm.propensities(learned(algorithm)) == pytest.approx((0.1, 0.9), abs=1e-11)


def test_ucb1_by_hand() -> None:
    """Auer et al.: an arm with a lower mean and fewer rewards has the higher bound."""
    algorithm = UCB1(floor=0.05)
    few = {"a": (binary(10, 4), binary(1000, 450))}
    log_all = 2 * math.log(1010)
    assert 0.4 + math.sqrt(log_all / 10) > 0.45 + math.sqrt(log_all / 1000)
    assert algorithm.propensities(learned(algorithm, few)) == pytest.approx((0.95, 0.05), abs=1e-11)


@pytest.mark.parametrize("make", [EpsilonGreedy, UCB1])
def test_an_arm_without_rewards_is_tried(make) -> None:
    algorithm = make(floor=0.0)
    shares = algorithm.propensities(learned(algorithm, {"a": (binary(10, 9), Rewards())}))
    assert shares[1] > 0.9


def test_thompson_is_the_chance_to_be_best() -> None:
    """P(Beta(3, 3) > Beta(1, 1)) + P(Beta(1, 1) > Beta(3, 3)), by symmetry a half each; then 1/2 + 1/4 by hand."""
    algorithm = ThompsonBeta(floor=0.0)
    even = algorithm.propensities(learned(algorithm, {"a": (Rewards(), binary(4, 2))}))
    assert even == pytest.approx((0.5, 0.5), abs=1e-8)
    once = algorithm.propensities(learned(algorithm, {"a": (binary(1, 1), Rewards())}))
    assert once == pytest.approx((2 / 3, 1 / 3), abs=1e-8)  # Beta(2, 1) has mean 2/3


def test_gaussian_thompson_waits_for_four_rewards_of_each_arm() -> None:
    algorithm = ThompsonGaussian()
    assert algorithm.propensities(learned(algorithm, {"a": (Rewards(3, 9.0, 1.0), Rewards(500, 0.0, 500.0))})) == (
        0.5,
        0.5,
    )
    assert algorithm.propensities(learned(algorithm, {"a": (Rewards(4, 9.0, 1.0), Rewards(500, 0.0, 500.0))}))[0] > 0.9


def test_an_arm_that_does_not_vary_borrows_the_spread() -> None:
    algorithm = ThompsonGaussian(floor=0.0)
    constant = {"a": (Rewards(20, 0.0, 0.0), Rewards(20, 0.1, 20.0))}
    shares = algorithm.propensities(learned(algorithm, constant))
    assert 0.2 < shares[0] < 0.5


def test_arms_none_of_which_varies_are_equal() -> None:
    algorithm = ThompsonGaussian()
    assert algorithm.propensities(learned(algorithm, {"a": (Rewards(9, 1.0, 0.0), Rewards(9, 2.0, 0.0))})) == (0.5, 0.5)


def test_top_two_gives_the_contender_its_part() -> None:
    sure = {"a": (binary(10_000, 100), binary(10_000, 5000))}
    plain, both = (algo.propensities(learned(algo, sure)) for algo in (ThompsonBeta(), TopTwoBeta()))
    assert plain[0] == pytest.approx(0.05, abs=1e-6)
    assert both[0] == pytest.approx(0.5, abs=1e-6)


def test_top_two_of_three_leaves_out_the_third() -> None:
    sure = {"a": (binary(10_000, 4900), binary(10_000, 5000), binary(10_000, 100))}
    algorithm = TopTwoBeta()
    shares = algorithm.propensities(algorithm.consume(algorithm.initial(3), "a", sure["a"]))
    assert shares == pytest.approx((0.475, 0.475, 0.05), abs=1e-6)


def test_a_discount_follows_a_drift() -> None:
    turned = {f"{day:02d}": (binary(50, 30), binary(50, 10)) for day in range(10)}
    turned |= {f"{day:02d}": (binary(50, 10), binary(50, 30)) for day in range(10, 16)}
    keeps, forgets = ThompsonBeta(), ThompsonBeta(discount=0.7)
    assert keeps.propensities(learned(keeps, turned))[0] > 0.9
    assert forgets.propensities(learned(forgets, turned))[1] > 0.9


def test_discounted_totals_by_hand() -> None:
    state = learned(ThompsonBeta())
    total = state.totals(0.5)[0]
    assert total.n == pytest.approx(50 * 0.25 + 30 * 0.5 + 20)
    assert total.n * total.mean == pytest.approx(5 * 0.25 + 2 * 0.5 + 4)


# --- every reward once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", LEARNERS)
def test_replays_and_the_order_of_arrival_change_nothing(make) -> None:
    algorithm = make(discount=0.9)
    wanted = learned(algorithm)
    for order in permutations(WEEK):
        state = learned(algorithm, {batch: WEEK[batch] for batch in order})
        state = learned_again(algorithm, state)
        assert state == wanted
        assert algorithm.dump(state) == algorithm.dump(wanted)


def learned_again(algorithm: Any, state: Learned) -> Learned:
    for batch_id, rewards in WEEK.items():
        same = algorithm.consume(state, batch_id, [list(arm) for arm in rewards])
        assert same is state
    return state


def test_late_rewards_replace_what_their_batch_had() -> None:
    algorithm = ThompsonBeta()
    early = learned(algorithm, {**WEEK, "2026-03-03": (binary(5, 1), binary(20, 4))})
    assert algorithm.consume(early, "2026-03-03", WEEK["2026-03-03"]) == learned(algorithm)


def test_withdrawn_rewards_leave() -> None:
    algorithm = ThompsonBeta(prior=(2, 3))
    state = algorithm.consume(learned(algorithm, {"a": WEEK["2026-03-01"]}), "a", (Rewards(), Rewards()))
    assert algorithm.propensities(state) == algorithm.propensities(algorithm.initial(2))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_rewards_one_by_one_are_the_batch_of_all(events) -> None:
    algorithm = ThompsonBeta()
    state = algorithm.initial(2)
    for arm, success in events:
        state = algorithm.reward(state, int(arm), float(success))
    by_arm = [[float(success) for a, success in events if a == arm] for arm in (False, True)]
    batch = learned(algorithm, {"a": tuple(binary(len(arm), int(sum(arm))) for arm in by_arm)})
    for one, other in zip(state.totals(1.0), batch.totals(1.0), strict=True):
        assert one == pytest.approx(other, abs=1e-9)


def test_a_state_learns_one_by_one_or_by_batches() -> None:
    algorithm = ThompsonBeta()
    with pytest.raises(DataError, match="takes no single reward"):
        algorithm.reward(learned(algorithm), 0, 1.0)
    with pytest.raises(DataError, match="takes no batches"):
        algorithm.consume(algorithm.reward(algorithm.initial(2), 0, 1.0), "a", WEEK["2026-03-01"])


@given(st.lists(st.lists(st.floats(-1e3, 1e3), max_size=8), min_size=1, max_size=4), st.sampled_from([0.0, 1e9]))
def test_merging_is_pooling(groups, shift) -> None:
    def of(values: list[float]) -> Rewards:
        found = Rewards()
        for value in values:
            found = found.added(value + shift)
        return found

    whole, parts = of([value for group in groups for value in group]), merged(of(group) for group in groups)
    assert parts.n == whole.n
    assert parts.mean == pytest.approx(whole.mean, rel=1e-12, abs=1e-9)
    assert parts.central == pytest.approx(whole.central, rel=1e-5, abs=1e-4)


# --- states as JSON -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_state_survives_json(name) -> None:
    algorithm = algorithm_named(name)
    state = learned(algorithm)
    again = algorithm.load(json.loads(json.dumps(algorithm.dump(state), allow_nan=False)))
    assert again == state
    assert algorithm.propensities(again) == algorithm.propensities(state)


def test_the_artifact_lists_its_batches_by_digest() -> None:
    document = ThompsonBeta().dump(learned(ThompsonBeta()))
    assert document["format"] == 1 and document["algorithm"] == "thompson_beta"
    assert document["settings"] == {"floor": 0.05, "discount": 1.0, "prior": [1.0, 1.0]}
    assert [batch["id"] for batch in document["batches"]] == list(WEEK)
    assert len({batch["digest"] for batch in document["batches"]}) == 3


def _without(document: Any, key: str) -> Any:
    return {k: v for k, v in document.items() if k != key}


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda d: {}, "another algorithm"),
        (lambda d: {**d, "algorithm": "ucb1"}, "another algorithm"),
        (lambda d: {**d, "format": 2}, "another format"),
        (lambda d: _without(d, "single"), "no state"),
        (lambda d: {**d, "single": []}, "no state"),
        (lambda d: {**d, "batches": {}}, "no state"),
        (lambda d: {**d, "single": [[0, 0, 0]]}, "as many arms"),
        (lambda d: {**d, "single": [[0, 0], [0, 0]]}, "n, mean and central"),
        (lambda d: {**d, "single": [[-1, 0, 0], [0, 0, 0]]}, "not negative"),
        (lambda d: {**d, "single": [[True, 0, 0], [0, 0, 0]]}, "n, mean and central"),
        (lambda d: {**d, "batches": d["batches"][::-1]}, "out of order"),
        (lambda d: {**d, "batches": [*d["batches"], d["batches"][-1]]}, "come twice"),
        (lambda d: {**d, "batches": [{**d["batches"][0], "digest": "0"}]}, "digest"),
        (lambda d: {**d, "batches": [{**d["batches"][0], "rewards": [[50, 0.2, 8.0], [50, 0.2, 8.0]]}]}, "digest"),
        (lambda d: {**d, "batches": ["2026-03-01"]}, "no batch"),
        (lambda d: {**d, "batches": [{"id": "a", "rewards": None}]}, "no batch"),
    ],
)
def test_a_corrupt_state_is_refused_in_one_line(broken, told) -> None:
    algorithm = ThompsonBeta()
    document = json.loads(json.dumps(algorithm.dump(learned(algorithm))))
    with pytest.raises(DataError, match=told) as caught:
        algorithm.load(broken(document))
    assert "\n" not in str(caught.value)


def test_a_service_with_a_corrupt_state_says_what_to_do() -> None:
    store = MemoryStore()
    experiment = StoredExperiment("e", _variants(), store=store, algorithm=ThompsonBeta())
    experiment.enable_sync()
    store.publish(experiment.id, '{"format": 1, "algorithm": "thompson_beta"}')
    with pytest.raises(CorruptStateError, match="disable and enable"):
        experiment.choose_sync("new user")


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "rewards"),
    [
        (ThompsonBeta(), (Rewards(10, 2.0, 0.0), Rewards())),
        (ThompsonBeta(), (Rewards(10, 0.5, 9.0), Rewards())),
        (ThompsonBeta(), (Rewards(10, 0.5, 0.0), Rewards())),
        (UCB1(), (Rewards(10, 1.5, 0.0), Rewards())),
        (UCB1(), (Rewards(10, 0.5, 99.0), Rewards())),
        (ThompsonGaussian(), (Rewards(10, math.nan, 0.0), Rewards())),
        (ThompsonGaussian(), (Rewards(10, math.inf, 0.0), Rewards())),
        (ThompsonGaussian(), (Rewards(-1, 0.0, 0.0), Rewards())),
        (ThompsonGaussian(), (Rewards(10, 0.0, -1.0), Rewards())),
        (ThompsonGaussian(), (Rewards(1, 0.0, 5.0), Rewards())),
        (ThompsonGaussian(), (Rewards(),)),
        (ThompsonGaussian(), (None, Rewards())),
        (FixedWeights(), (Rewards(),)),
        (FixedWeights(), (Rewards(1, math.nan, 0.0), Rewards())),
    ],
)
def test_impossible_batches_are_refused(algorithm, rewards) -> None:
    with pytest.raises(DataError):
        algorithm.consume(algorithm.initial(2), "a", rewards)


@pytest.mark.parametrize("batch_id", ["", 3, None])
def test_a_batch_has_a_name(batch_id) -> None:
    with pytest.raises(DataError, match="name"):
        ThompsonBeta().consume(ThompsonBeta().initial(2), batch_id, WEEK["2026-03-01"])


@pytest.mark.parametrize("score", [math.nan, math.inf, 0.5, "1", None])
def test_impossible_rewards_are_refused(score) -> None:
    with pytest.raises(DataError):
        ThompsonBeta().reward(ThompsonBeta().initial(2), 0, score)


@pytest.mark.parametrize("index", [-1, 2])
def test_rewards_are_of_an_arm(index) -> None:
    with pytest.raises(DataError, match="no such arm"):
        UCB1().reward(UCB1().initial(2), index, 1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: EpsilonGreedy(epsilon=1.5),
        lambda: EpsilonGreedy(epsilon=math.nan),
        lambda: ThompsonBeta(floor=-0.1),
        lambda: ThompsonBeta(discount=0.0),
        lambda: ThompsonBeta(discount=1.1),
        lambda: ThompsonBeta(prior=(0, 1)),
        lambda: ThompsonBeta(prior=(1, 1, 1)),
        lambda: TopTwoBeta(leader=2),
        lambda: TopTwoGaussian(leader="half"),
        lambda: UCB1(low=1, high=1),
        lambda: UCB1(high=math.inf),
        lambda: ThompsonBeta(floor=0.4).initial(3),
        lambda: ThompsonBeta().initial(1),
        lambda: algorithm_named("thomson_beta"),
        lambda: algorithm_named("thompson_beta", flor=0.1),
    ],
)
def test_impossible_settings_are_refused(make) -> None:
    with pytest.raises(XpError) as caught:
        make()
    assert caught.type is DataError


def test_a_misspelt_name_is_told_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'thompson_beta'"):
        algorithm_named("thomson_beta")


# --- in a service ---------------------------------------------------------------------------------------------------


def _variants() -> list[Variant]:
    color: Symbol[str] = Symbol("color")
    return [Variant("red", {color: "red"}), Variant("blue", {color: "blue"})]


@pytest.mark.parametrize("make", LEARNERS)
def test_a_service_learns_and_a_second_one_reads_it(make) -> None:
    store = MemoryStore()
    one = StoredExperiment("colors", _variants(), store=store, algorithm=make())
    one.enable_sync()
    for user in range(200):
        arm = one.choose_sync(user).index
        one.complete_for_user_sync(user, float(arm == 1 and user % 3 > 0))
    other = StoredExperiment("colors", _variants(), store=store, algorithm=make())
    later = [other.choose_sync(f"later-{user}") for user in range(200)]
    # of two arms, top-two sampling gives each a half: both are always among the top two
    assert sum(choice.index for choice in later) > (70 if make in (TopTwoBeta, TopTwoGaussian) else 120)
    assert all(choice.propensity >= 0.05 for choice in later)


def test_all_are_algorithms_of_the_protocol() -> None:
    made: list[BatchAlgorithm[Any]] = [make() for make in ALGORITHMS.values()]
    served: list[Algorithm[Any]] = list(made)
    assert [algorithm.name for algorithm in served] == list(ALGORITHMS)


def test_learning_imports_nothing_heavy() -> None:
    program = (
        "import sys; from xp_pipeline.delivery.algorithms import *; a = TopTwoGaussian(); "
        "a.propensities(a.consume(a.initial(2), 'x', [(9, 1, 3), (9, 2, 3)])); "
        "print(*[m for m in ('numpy', 'scipy', 'duckdb', 'polars', 'dagster') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 0.999999))
def test_a_draw_has_the_logged_propensity(u) -> None:
    algorithm = ThompsonBeta()
    state = learned(algorithm)
    shares = algorithm.propensities(state)
    drawn = algorithm.choose(state, u)
    assert drawn.index == (0 if u < shares[0] else 1)
    assert drawn.propensity == shares[drawn.index]
