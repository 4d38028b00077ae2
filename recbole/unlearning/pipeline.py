"""The main loop of an unlearning run, which answers requests one after another and saves the model at checkpoints."""

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
"""The possible statuses of a request, see :class:`~recbole.unlearning.outcome.Outcome`."""


class Pipeline:
    """Passes the requests of a run to an unlearning algorithm, in their order, in chunks.

    A chunk consists of successive requests that the algorithm answers together. A checkpoint is a point in the sequence
    of requests at which the model is saved.

    Args:
        algorithm: the algorithm, constructed with the trained model that receives the requests.
        requests: all requests of the run. The algorithm sees only those of the current and of earlier chunks.
        batch_size: largest number of requests in a chunk.
        resume: file for snapshots of the run, from which it continues if it is interrupted; ``None`` writes none.
        log_path: file of the log with one JSON line per chunk; ``None`` writes none.
        deadline: time limit of the whole run; ``None`` sets none. Each chunk gets an even share of the time, but no
            more than is left. Time that a chunk does not use is not passed on to later chunks. A chunk for which no
            time is left has the status ``timeout``: its interactions are marked as forgotten, but the parameters do not
            change.
        show_progress: whether to draw a progress bar on a terminal.
        sizes: the checkpoints, given as numbers of requests answered by then, ascending; by default the four of
            :func:`~recbole.unlearning.schedule.checkpoint_sizes`.
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
        self.changes: list[float] = []  # relative change of each chunk that was applied
        self.seconds: list[float] = []  # wall seconds of each request that the algorithm worked on
        self.settled = 0  # number of entries of `seconds` from before the last checkpoint

    def run(self, save: Callable[[int, int, dict[str, Any]], object]) -> dict[str, Any]:
        """Answer all requests, and save the model at each checkpoint. An interrupted run continues from its snapshot.

        Args:
            save: function that saves the model. It is called with the number of the checkpoint (from 0), the number of
                requests answered so far, and the :meth:`summary`.

        Returns:
            The :meth:`summary` at the end.

        Raises:
            UserError: the log cannot be written, or it is shorter than when the snapshot was taken.
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
        """Answer requests ``start`` to ``stop - 1`` together, and return the JSON values of their line in the log."""
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
        """Let the algorithm do the work that it postponed to the checkpoint after request ``stop - 1``.

        The seconds are divided equally among the requests that the algorithm worked on since the previous checkpoint.
        If the work fails, this is logged. If the algorithm postpones all work (``puts_off``), these requests are then
        counted as failed.
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
        """Count requests since the previous checkpoint as failed instead of applied, and log the failure.

        Args:
            failure: why the work that was postponed to this checkpoint failed.
            worked: number of requests to count as failed.
            log: the log of the requests; ``None`` if there is none.
            stop: number of requests up to this checkpoint.
        """
        self.outcomes["applied"] -= worked
        self.outcomes[failure.status] += worked
        start = max((size for size in self.sizes if size < stop), default=0)
        of = f"requests {start} to {stop - 1}"
        logger.warning("%s: the work postponed to the checkpoint failed: %s: %s", of, failure.status, failure.reason)
        if log is not None:
            told = {"status": failure.status, "reason": failure.reason, "put_off": worked}
            log.add({"index": start, "n_requests": stop - start} | told)

    def _count(self, outcome: Outcome, n_requests: int, seconds: float, cpu: float) -> None:
        """Add the outcome of a chunk of requests to the counts and seconds of the run.

        Args:
            outcome: the outcome of the chunk.
            n_requests: number of requests in the chunk.
            seconds, cpu: wall-clock and CPU seconds that the chunk took.
        """
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
        """Return counts and costs of the requests answered so far.

        Keys: ``total`` (all requests of the run) and ``done`` (answered so far); the number of requests with each of
        the :data:`STATUSES`; ``worked``, the number of requests that the algorithm worked on (applied, timed out or
        diverged); ``seconds_total``, wall-clock seconds of all requests; ``seconds_mean``, ``seconds_p95`` (95th
        percentile) and ``cpu_seconds_mean`` over the requests in ``worked``, each counted with an equal part of the
        seconds of its chunk; ``median_relative_change`` over the chunks that were applied. The last four are ``None``
        if there are no such requests or chunks.
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
        """Write a snapshot of the run: the model, the algorithm's state, counts, times and the length of the log."""
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
        """Restore the state of an interrupted run from its snapshot, if there is one.

        Returns:
            The length of the log in bytes when the snapshot was taken; 0 without a snapshot.
        """
        state = self.resume.load() if self.resume is not None else None
        if self.resume is None or state is None:
            return 0
        with self.resume.restoring():
            n_done = self._restore(self.resume, state)
        logger.info("continuing after %d of %d requests", n_done, len(self.requests))
        return int(state["log_size"])

    def _restore(self, resume: ResumeFile, state: dict[str, Any]) -> int:
        """Restore the state of the run from a snapshot, and return how many requests had been answered by then.

        Args:
            resume: the file of the snapshot.
            state: the content of the snapshot.
        """
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
        """Raise an error if the log is shorter than it was when the snapshot was taken.

        Args:
            size: length of the log in bytes when the snapshot was taken.
            snapshot: path of the snapshot, for the message.

        Raises:
            UserError: the log is missing or shorter than ``size``.
        """
        there = self.log_path.stat().st_size if self.log_path and self.log_path.is_file() else 0
        if there < size:
            raise UserError(
                f"{self.log_path} lacks requests of the interrupted run (it has {there} of {size} bytes); "
                f"delete {snapshot} to start over"
            )
