"""The exposure log: a bounded queue that never makes a request wait, and a thread that writes it down."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from xp_pipeline.delivery.journal import Exposure, Journal
from xp_pipeline.errors import XpError

__all__ = ["Exposure", "ExposureLog", "LogStats"]

logger = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.1


class LogStats(NamedTuple):
    """What became of the exposures that this process offered.

    Attributes:
        offered: All of them.
        logged: Written down, and new.
        repeated: Known already, from this process or another, now or before a restart.
        dropped: Refused because the queue was full (and offered again at the unit's next pick), or unfit for a file.
        unflushed: In the queue or being written: what would be lost if the process were killed now.
        failures: Writes that failed; what they were to write is kept, and tried again.
    """

    offered: int
    logged: int
    repeated: int
    dropped: int
    unflushed: int
    failures: int


class ExposureLog:
    """Exposures on their way to the record, each unit once per experiment.

    Killed, it loses at most the ``capacity`` exposures of its queue, and usually those of the last ``every``
    seconds; a unit whose exposure was lost is logged when it is next seen.

    Args:
        folder: ``record/exposures`` of the project.
        capacity: Exposures that may wait to be written.
        every: Seconds between two writes.
        segment_rows: Rows of a published file.
        remember: Exposures kept in memory, so that repeated ones do not take room in the queue.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        capacity: int = 10_000,
        every: float = 1.0,
        segment_rows: int = 10_000,
        remember: int = 200_000,
    ) -> None:
        self._journal = Journal(Path(folder), segment_rows=segment_rows)
        self._capacity = capacity
        self._every = every
        self._remember = remember
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._begin()

    @property
    def stats(self) -> LogStats:
        """What became of the exposures so far."""
        with self._changed:
            waiting = len(self._queue) + self._writing
            return LogStats(self._offered, self._logged, self._repeated, self._dropped, waiting, self._failures)

    def knows(self, experiment: str, unit: str) -> bool:
        """Whether this exposure is queued or written already, as far as is remembered."""
        return (experiment, unit) in self._seen and self._process == os.getpid()

    def offer(self, exposure: Exposure) -> bool:
        """Queue an exposure unless it is known; False when there is no room. Never waits for a disk."""
        if self._process != os.getpid():
            self._begin()  # after a fork, the parent writes what the parent queued
        key = (exposure.experiment, exposure.unit)
        with self._changed:
            self._offered += 1
            if key in self._seen:
                self._repeated += 1
                return True
            if len(self._queue) + self._writing >= self._capacity:
                self._drop()
                return False
            self._queue.append(exposure if exposure.at else exposure._replace(at=_now()))
            self._keep(key)
            if self._thread is None:
                self._start()
        return True

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was offered is written down; whether it is."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._queue or self._writing or self._unpublished:
                left = None if until is None else until - time.monotonic()
                if self._thread is None or (left is not None and left <= 0):
                    return False
                self._hurry = True
                self._changed.notify_all()
                self._changed.wait(left)
        return True

    def close(self, timeout: float = 10.0) -> None:
        """Write down what is queued and stop; also done when the interpreter ends."""
        atexit.unregister(self.close)
        if self._process != os.getpid():
            return
        if not self.flush(timeout):
            logger.error("the exposure log was closed with %d exposures unwritten", self.stats.unflushed)
        with self._changed:
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout)
        self._journal.close()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._thread = None
        self._queue: deque[Exposure] = deque()
        self._seen: dict[tuple[str, str], None] = {}
        self._offered = self._logged = self._repeated = self._dropped = self._failures = self._writing = 0
        self._hurry = self._unpublished = False
        self._reported = 0.0

    def _keep(self, key: tuple[str, str]) -> None:
        if len(self._seen) >= self._remember:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = None

    def _start(self) -> None:
        atexit.register(self.close)
        self._thread = threading.Thread(target=self._run, name="xp-exposure-log", daemon=True)
        self._thread.start()

    def _drop(self) -> None:
        """Count a refused exposure, and say so at most once a second."""
        self._dropped += 1
        if time.monotonic() - self._reported >= 1.0:
            self._reported = time.monotonic()
            logger.error("the exposure log is full: %d exposures dropped so far", self._dropped)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._hurry:
                    self._changed.wait_for(lambda: self._hurry or self._thread is None, self._every)
                if self._thread is not threading.current_thread():
                    return
                batch = tuple(self._queue)
                self._queue.clear()
                self._writing += len(batch)
                self._hurry = False
            if batch:
                self._write(batch)
            if self._unpublished:
                self._publish()

    def _write(self, batch: tuple[Exposure, ...]) -> None:
        """Commit a batch; if the disk refuses, put it back in front and wait for the next turn."""
        try:
            self._done(batch, new=self._journal.append(batch))
        except (XpError, OSError) as problem:
            logger.error("the exposure log could not write %d exposures, and will try again: %s", len(batch), problem)
            with self._changed:
                self._writing -= len(batch)
                self._queue.extendleft(reversed(batch))
            self._failed()
        except Exception as problem:
            self._sift(batch, problem)

    def _publish(self) -> None:
        """Publish what is committed; if the disk refuses, wait for the next turn."""
        try:
            self._journal.publish()
        except (XpError, OSError) as problem:
            logger.error("the exposure log could not publish its files, and will try again: %s", problem)
            self._failed()
            return
        with self._changed:
            self._unpublished = False
            self._changed.notify_all()

    def _failed(self) -> None:
        with self._changed:
            self._failures += 1
            self._changed.notify_all()
        time.sleep(min(self._every, _PAUSE_SECONDS))

    def _done(self, batch: tuple[Exposure, ...], *, new: int) -> None:
        with self._changed:
            self._writing -= len(batch)
            self._logged += new
            self._repeated += len(batch) - new
            self._unpublished = True
            self._changed.notify_all()

    def _sift(self, batch: tuple[Exposure, ...], problem: Exception) -> None:
        """Write one by one what cannot be written together; what no file can hold is dropped."""
        if len(batch) > 1:
            for exposure in batch:
                self._write((exposure,))
            return
        logger.error("this exposure cannot be written: %a: %s", batch[0], problem)
        with self._changed:
            self._dropped += 1
            self._writing -= 1
            self._changed.notify_all()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
