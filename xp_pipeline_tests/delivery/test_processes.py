"""Several processes on one store: one assignment per user, one reward per assignment."""

from __future__ import annotations

import json
import subprocess
import sys

from xp_pipeline.delivery import FixedWeights, StoredExperiment
from xp_pipeline_tests.delivery.conftest import opened
from xp_pipeline_tests.delivery.duties import greetings
from xp_pipeline_tests.delivery.test_stored import Counting

USERS = 60
PROCESSES = 4
PROGRAM = """
import json, random, sys
from xp_pipeline.delivery import FixedWeights, StoredExperiment
from xp_pipeline_tests.delivery.conftest import opened
from xp_pipeline_tests.delivery.duties import greetings
from xp_pipeline_tests.delivery.test_stored import Counting

kind, address, mine, what, users = sys.argv[1:]
store = opened(kind, address)
if what == "assign":
    # each process would give its own variant to everybody
    weights = [float(i == int(mine) % 3) for i in range(3)]
    class Own(FixedWeights):
        def load(self, document):
            return tuple(weights)
    experiment = StoredExperiment("greetings", greetings(), store=store, algorithm=Own())
    experiment.enable_sync()
    order = list(range(int(users)))
    random.Random(int(mine)).shuffle(order)
    print(json.dumps({user: experiment.choose_sync(user).index for user in order}))
else:
    experiment = StoredExperiment("greetings", greetings(), store=store, algorithm=Counting())
    print(json.dumps(sum(experiment.complete_for_user_sync(user, 1.0) for user in range(int(users)))))
"""


def _together(shared: tuple[str, str], what: str) -> list[object]:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *shared, str(i), what, str(USERS)], stdout=subprocess.PIPE, text=True
        )
        for i in range(PROCESSES)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES
    return [json.loads(output) for output in outputs]


def test_one_assignment_per_user(shared: tuple[str, str]) -> None:
    seen = _together(shared, "assign")
    assert all(answers == seen[0] for answers in seen)
    experiment = StoredExperiment("greetings", greetings(), store=opened(*shared), algorithm=FixedWeights())
    kept = {str(user): experiment.choose_sync(user).index for user in range(USERS)}
    assert kept == seen[0]
    experiment.store.close()


def test_one_reward_per_assignment(shared: tuple[str, str]) -> None:
    experiment = StoredExperiment("greetings", greetings(), store=opened(*shared), algorithm=Counting())
    experiment.enable_sync()
    for user in range(USERS):
        experiment.choose_sync(user)
    assert sum(_together(shared, "reward")) == USERS  # type: ignore[arg-type]
    row = experiment.store.algorithm(experiment.id)
    assert row is not None
    assert (sum(experiment._loaded(row.state)), row.version) == (USERS, USERS + 1)
    experiment.store.close()
