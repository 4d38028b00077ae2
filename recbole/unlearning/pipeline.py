"""Requests one after another, in their order, with stops to save."""

import logging
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recbole.trainer import ResumeFile
from recbole.trainer.resume import alike
from recbole.unlearning.algorithm import UnlearningAlgorithm
from recbole.unlearning.outcome import NotApplied, Outcome, failures_as_outcomes
from recbole.unlearning.request import Requests
from recbole.unlearning.request_log import RequestLog
from recbole.unlearning.schedule import checkpoint_sizes, chunks
from recbole.utils import UserError
from recbole.utils.deadline import Deadline
from recbole.utils.device import now

logger = logging.getLogger("recbole")

STATUSES = ("applied", "reinitialised", "skipped", "timeout", "diverged")
"""How requests end."""


class Pipeline:
    """Puts requests to an unlearning algorithm.

    Args:
        algorithm: an :class:`~recbole.unlearning.algorithm.UnlearningAlgorithm` on the base model.
        requests: :class:`~recbole.unlearning.request.Requests`; the algorithm sees one piece of them at a time.
        batch_size: requests that are forgotten together.
        resume: :class:`~recbole.trainer.ResumeFile` or None.
        log_path: where the per-request JSON lines go.
        deadline: of the whole run; none by default. A piece may use its even share of it, and no more than is left;
            what others did not use is not handed on. With nothing left it is a ``timeout`` that did not run: its rows
            are forgotten, the parameters stay.
        show_progress: draw a progress bar on a terminal.
        sizes: after how many requests it stops to save, ascending; by default at the four checkpoints.
    """

    def __init__(
        self,
        algorithm: UnlearningAlgorithm,
        requests: Requests,
        batch_size: int = 1,
        resume: ResumeFile | None = None,
        log_path: Path | None = None,
        deadline: Deadline | None = None,
        show_progress: bool = True,
        sizes: Sequence[int] | None = None,
    ) -> None:
        self.algorithm, self.requests, self.resume = algorithm, requests, resume
        self.sizes = checkpoint_sizes(len(requests)) if sizes is None else list(sizes)
        self.chunks = chunks(len(requests), batch_size, self.sizes)
        self.deadline = Deadline() if deadline is None else deadline
        self.log_path, self.show_progress = log_path, show_progress
        self.done, self.outcomes = 0, Counter[str]()
        self.total, self.cpu_seconds = 0.0, 0.0
        self.changes: list[float] = []  # relative ones, of the pieces that were applied
        self.seconds: list[float] = []  # these and the CPU's are of the requests that worked
        self.settled = 0  # how many of these were before the last checkpoint

    def run(self, save: Callable[[int, int, dict[str, Any]], object]) -> dict[str, Any]:
        """Forget everything; call ``save(checkpoint, n_done, summary)`` at each of the stops, numbered from 0.

        Returns:
            The :meth:`summary`.

        Raises:
            UserError: when the log cannot be written, or lacks requests that the snapshot counts.
        """
        log_size = self._load_snapshot()
        log = RequestLog(self.log_path, log_size) if self.log_path else None
        hidden = None if self.show_progress else True
        bar = tqdm(self.chunks, "requests", disable=hidden, initial=self.done)
        for piece, (start, stop) in enumerate(self.chunks):
            if piece < self.done:
                continue
            record = self._forget(start, stop)
            if log is not None:
                log.add(record)
            self.done = piece + 1
            bar.update()
            if stop in self.sizes:
                self._complete(log, stop)
            for checkpoint, size in enumerate(self.sizes):
                if size == stop:
                    save(checkpoint, stop, self.summary())
            if self.resume is not None and self.resume.due():
                self._save_snapshot(self.resume, log)
        bar.close()
        if self.resume is not None:
            self._save_snapshot(self.resume, log)
        if log is not None:
            log.close()
        return self.summary()

    def _forget(self, start: int, stop: int) -> dict[str, Any]:
        """Forget requests ``start`` to ``stop - 1`` together and return the record of it."""
        requests = self.requests.between(start, stop)
        device = self.algorithm.device
        began, cpu = now(device), time.process_time()
        outcome = self.algorithm.forget(requests, self.deadline.share(len(self.chunks), self.total))
        seconds, cpu = now(device) - began, time.process_time() - cpu
        self._count(outcome, len(requests), seconds, cpu)
        entities, idle = [request.entity for request in requests], outcome.idle
        if outcome.status in ("timeout", "diverged"):
            of = f"request {start}" if len(requests) == 1 else f"requests {start} to {stop - 1}"
            names = ", ".join(name for name in entities if name not in idle)
            logger.warning("%s (%s): %s: %s", of, names, outcome.status, outcome.reason)
        n_rows = sum(len(request.rows) for request in requests)
        record = {"index": start, "entity": entities[0], "rows": n_rows, "total_seconds": seconds}
        if len(requests) > 1:
            record |= {"n_requests": len(requests), "entities": entities, "skipped": idle}
            record["only_reinitialised"] = outcome.reset
        elif idle:
            outcome.reason = idle[entities[0]]
        record |= asdict(outcome)
        del record["idle"], record["reset"]
        return record

    def _complete(self, log: RequestLog | None, stop: int) -> None:
        """Have done what was put off; its seconds are shared evenly by the requests since the last checkpoint.

        Where it fails they are ``diverged``, and a line of the log says so.
        """
        device, worked = self.algorithm.device, len(self.seconds) - self.settled
        began, cpu = now(device), time.process_time()
        try:
            with failures_as_outcomes():
                tried = self.algorithm.complete()
        except NotApplied as failure:
            tried = True
            self._take_back(failure, worked if self.algorithm.puts_off else 0, log, stop)
        seconds, cpu = now(device) - began, time.process_time() - cpu
        if tried and worked:
            late = [before + seconds / worked for before in self.seconds[self.settled :]]
            self.seconds[self.settled :] = late
            self.cpu_seconds += cpu
        self.settled = len(self.seconds)
        self.total += seconds if tried else 0.0

    def _take_back(self, failure: NotApplied, worked: int, log: RequestLog | None, stop: int) -> None:
        """Count the last requests that worked, so many of those up to ``stop``, by what became of them in the end."""
        self.outcomes["applied"] -= worked
        self.outcomes[failure.status] += worked
        start = max((size for size in self.sizes if size < stop), default=0)
        of = f"requests {start} to {stop - 1}"
        logger.warning("%s, what was put off until the checkpoint: %s: %s", of, failure.status, failure.reason)
        if log is not None:
            told = {"status": failure.status, "reason": failure.reason, "put_off": worked}
            log.add({"index": start, "n_requests": stop - start} | told)

    def _count(self, outcome: Outcome, n_requests: int, seconds: float, cpu: float) -> None:
        """Add what became of some requests that were answered together, in so many seconds, to what was done."""
        worked = n_requests - len(outcome.idle) - len(outcome.reset)
        self.outcomes[outcome.status] += worked
        self.outcomes["skipped"] += len(outcome.idle)
        self.outcomes["reinitialised"] += len(outcome.reset)
        self.total += seconds
        if outcome.status == "applied":
            self.changes.append(outcome.relative_change)
        if worked and outcome.status not in ("skipped", "reinitialised"):
            self.seconds += [seconds / worked] * worked
            self.cpu_seconds += cpu

    def summary(self) -> dict[str, Any]:
        """Return what was done so far: the counts of requests, and seconds.

        ``worked`` of them had something to do: they were applied, timed out or diverged. What was ``reinitialised`` is
        no work of the algorithm's. Means and the 95th percentile
        are over these, each with an even share of its piece's seconds, and None without any; ``seconds_total`` is of
        everything.
        """
        seconds = sorted(self.seconds)
        count = len(seconds)
        return {
            "total": len(self.requests),
            "done": sum(self.outcomes.values()),
            **{status: self.outcomes.get(status, 0) for status in STATUSES},
            "worked": count,
            "seconds_total": self.total,
            "seconds_mean": sum(seconds) / count if count else None,
            "seconds_p95": seconds[min(int(0.95 * count), count - 1)] if count else None,
            "median_relative_change": statistics.median(self.changes) if self.changes else None,
            "cpu_seconds_mean": self.cpu_seconds / count if count else None,
        }

    def _save_snapshot(self, resume: ResumeFile, log: RequestLog | None) -> None:
        resume.save({
            "done": self.done,
            "outcomes": dict(self.outcomes),
            "total": self.total,
            "seconds": self.seconds,
            "settled": self.settled,
            "cpu_seconds": self.cpu_seconds,
            "changes": self.changes,
            "log_size": log.size() if log is not None else 0,
            "state_dict": self.algorithm.model.state_dict(),
            "other_parameter": self.algorithm.model.other_parameter(),
            "memory": self.algorithm.memory(),
        })  # fmt: skip

    def _load_snapshot(self) -> int:
        """Go on from the snapshot, if there is one; return the length of the log, in bytes, that it counts on."""
        state = self.resume.load() if self.resume is not None else None
        if self.resume is None or state is None:
            return 0
        with self.resume.restoring():
            n_done = self._restore(self.resume, state)
        logger.info("continuing after %d of %d requests", n_done, len(self.requests))
        return int(state["log_size"])

    def _restore(self, resume: ResumeFile, state: dict[str, Any]) -> int:
        """Put a snapshot in place, and return how many requests it has done."""
        self._check_log(alike(state["log_size"], 0), resume.path)
        self.done, self.outcomes = alike(state["done"], 0), Counter(alike(state["outcomes"], {}))
        self.total, self.cpu_seconds = alike(state["total"], 0.0), alike(state["cpu_seconds"], 0.0)
        self.seconds, self.changes = alike(state["seconds"], []), alike(state["changes"], [])
        self.settled = alike(state["settled"], 0)
        n_done, model = self.chunks[self.done - 1][1], self.algorithm.model
        mask = self.requests.mask(n_done, len(self.algorithm.dataset.log))
        self.algorithm.restore(state["state_dict"], mask, state["memory"])
        model.load_other_parameter(state["other_parameter"])
        resume.restore_generators(state)
        return n_done

    def _check_log(self, size: int, snapshot: Path) -> None:
        """Refuse a log that has lost what was in it when the snapshot was taken."""
        there = self.log_path.stat().st_size if self.log_path and self.log_path.is_file() else 0
        if there < size:
            raise UserError(
                f"{self.log_path} lacks requests of the interrupted run ({there} of {size} bytes are there); "
                f"delete {snapshot} to start over"
            )
