"""A store that lasts as long as its process."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace

from xp_pipeline.delivery.errors import CorruptStateError
from xp_pipeline.delivery.protocols import AlgorithmRow
from xp_pipeline.delivery.variants import ExperimentRecord, UserVariant


class MemoryStore:
    """Everything in dictionaries, under one lock."""

    blocks = False

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._experiments: dict[str, ExperimentRecord] = {}
        self._algorithms: dict[str, AlgorithmRow] = {}
        self._assignments: dict[str, dict[str, UserVariant]] = {}

    def experiment(self, name: str) -> ExperimentRecord | None:
        return self._experiments.get(name)

    def enable(self, name: str, state: str | None, *, experiment_id: str | None = None) -> ExperimentRecord:
        with self._lock:
            found = self._experiments.get(name)
            record = ExperimentRecord(name, True, found.id if found else experiment_id or uuid.uuid4().hex)
            if state is not None:
                self._algorithms.setdefault(record.id, AlgorithmRow(state, 1))
            self._assignments.setdefault(record.id, {})
            self._experiments[name] = record
            return record

    def switch(self, name: str, *, is_enabled: bool) -> ExperimentRecord | None:
        with self._lock:
            found = self._experiments.get(name)
            if found is not None:
                found = self._experiments[name] = found._replace(is_enabled=is_enabled)
            return found

    def remove(self, name: str) -> bool:
        with self._lock:
            found = self._experiments.pop(name, None)
            if found is not None:
                self._algorithms.pop(found.id, None)
                self._assignments.pop(found.id, None)
            return found is not None

    def assignment(self, experiment_id: str, user: str) -> UserVariant | None:
        found = self._assignments.get(experiment_id, {}).get(user)
        return replace(found) if found else None

    def assign(self, row: UserVariant) -> UserVariant | None:
        with self._lock:
            rows = self._assignments.get(row.experiment_id)
            if rows is None or not self._is_enabled(row.experiment_id):
                return None
            return replace(rows.setdefault(row.user_id, replace(row)))

    def algorithm(self, experiment_id: str) -> AlgorithmRow | None:
        return self._algorithms.get(experiment_id)

    def publish(self, experiment_id: str, state: str, *, expected: int | None = None) -> AlgorithmRow | None:
        with self._lock:
            found = self._algorithms.get(experiment_id)
            if found is None or expected not in (None, found.version):
                return None
            row = self._algorithms[experiment_id] = AlgorithmRow(state, found.version + 1)
            return row

    def reward(self, experiment_id: str, user: str, learn: Callable[[UserVariant, str], str]) -> bool:
        with self._lock:
            row = self.assignment(experiment_id, user)
            if row is None or not self._is_enabled(experiment_id):
                return False
            found = self._algorithms.get(experiment_id)
            if found is None:
                raise CorruptStateError("the enabled experiment has no algorithm", where=experiment_id)
            self._algorithms[experiment_id] = AlgorithmRow(learn(row, found.state), found.version + 1)
            del self._assignments[experiment_id][user]
            return True

    def close(self) -> None:
        """Nothing is held open."""

    def _is_enabled(self, experiment_id: str) -> bool:
        return any(record.id == experiment_id and record.is_enabled for record in self._experiments.values())
