"""Requests one after another, in their order, with four stops to save."""

import contextlib
import json
import logging
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from recbole.trainer import save_checkpoint
from recbole.unlearning.request import checkpoint_sizes, chunks
from recbole.utils import UserError

logger = logging.getLogger("recbole")


class RequestLog:
    """JSON lines, one a request; what a killed run wrote after its last snapshot is cut off again.

    Raises:
        UserError: from every method, when the file cannot be written.
    """

    def __init__(self, path, size=0):
        self.path = Path(path)
        with self._telling():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(self.path, "r+b" if size and self.path.exists() else "w+b")  # noqa: SIM115
            self.file.truncate(size)
            self.file.seek(size)

    @contextlib.contextmanager
    def _telling(self):
        try:
            yield
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error

    def add(self, record):
        """Append one record."""
        with self._telling():
            self.file.write(json.dumps(record, allow_nan=False, default=str).encode() + b"\n")

    def size(self):
        """Return the file's length in bytes, everything written out."""
        with self._telling():
            self.file.flush()
            return self.file.tell()

    def close(self):
        """Close the file."""
        with self._telling():
            self.file.close()


class Pipeline:
    """Puts requests to an unlearning algorithm.

    Args:
        algorithm: an :class:`~recbole.unlearning.algorithm.UnlearningAlgorithm` on the base model.
        requests: :class:`~recbole.unlearning.request.Requests`; the algorithm sees one piece of them at a time.
        batch_size: requests that are forgotten together.
        resume: :class:`~recbole.trainer.ResumeFile` or None.
        log_path: where the per-request JSON lines go.
        budget: seconds for everything, or None; a request may use its even share of it.
        show_progress: draw a progress bar on a terminal.
    """

    def __init__(self, algorithm, requests, batch_size=1, resume=None, log_path=None, budget=None, show_progress=True):
        self.algorithm, self.requests, self.resume = algorithm, requests, resume
        self.sizes = checkpoint_sizes(len(requests))
        self.chunks = chunks(len(requests), batch_size, self.sizes)
        self.budget = None if budget is None else budget / len(self.chunks)
        self.log_path, self.show_progress = log_path, show_progress
        self.done, self.outcomes, self.seconds, self.cpu_seconds = 0, Counter(), [], 0.0

    def run(self, save):
        """Forget everything; call ``save(checkpoint, n_done, summary)`` at each of the four checkpoints.

        Returns:
            The summary: counts by outcome, and the seconds of every piece.
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
            for checkpoint, size in enumerate(self.sizes):
                if size == stop:
                    save(checkpoint, stop, self.summary())
            if self.resume is not None and self.resume.due():
                self._save_snapshot(log)
        bar.close()
        if self.resume is not None:
            self._save_snapshot(log)
        if log is not None:
            log.close()
        return self.summary()

    def _forget(self, start, stop):
        """Forget requests ``start`` to ``stop - 1`` together and return the record of it."""
        requests = self.requests
        rows = requests.rows[requests.offsets[start] : requests.offsets[stop]]
        began, cpu = time.perf_counter(), time.process_time()
        outcome = self.algorithm.forget(rows, start, self.budget)
        seconds = time.perf_counter() - began
        self.cpu_seconds += time.process_time() - cpu
        request = requests[start]
        if outcome.status == "skipped" and stop - start == 1 and request.unknown:
            outcome.reason = request.unknown
        self.outcomes[outcome.status] += stop - start
        self.seconds.append(seconds)
        if outcome.status in ("timeout", "diverged"):
            logger.warning("request %d (%s): %s: %s", start, request.entity, outcome.status, outcome.reason)
        record = {"index": start, "entity": requests.entities[start], "rows": len(rows), "total_seconds": seconds}
        if stop - start > 1:
            record |= {"n_requests": stop - start, "entities": requests.entities[start:stop]}
        return record | asdict(outcome)

    def summary(self):
        """Return what was done so far: the counts of ``requests`` rows, and seconds."""
        seconds = sorted(self.seconds)
        count = len(seconds)
        return {
            "total": len(self.requests),
            "done": sum(self.outcomes.values()),
            **{status: self.outcomes.get(status, 0) for status in ("applied", "skipped", "timeout", "diverged")},
            "seconds_total": sum(seconds),
            "seconds_mean": sum(seconds) / count if count else 0.0,
            "seconds_p95": seconds[min(int(0.95 * count), count - 1)] if count else 0.0,
            "cpu_seconds_mean": self.cpu_seconds / count if count else 0.0,
        }

    def _save_snapshot(self, log):
        self.resume.save({
            "done": self.done,
            "outcomes": dict(self.outcomes),
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "log_size": log.size() if log is not None else 0,
            "state_dict": self.algorithm.model.state_dict(),
        })  # fmt: skip

    def _load_snapshot(self):
        state = self.resume.load() if self.resume is not None else None
        if state is None:
            return 0
        self.done, self.outcomes = state["done"], Counter(state["outcomes"])
        self.seconds, self.cpu_seconds = state["seconds"], state["cpu_seconds"]
        self.algorithm.go_on(
            state["state_dict"], self.requests.mask(self.chunks[self.done - 1][1], len(self.algorithm.dataset.log))
        )
        self.resume.restore_generators(state)
        logger.info("continuing after %d of %d requests", self.chunks[self.done - 1][1], len(self.requests))
        return state["log_size"]


def save_model(path, model, config, last_request, meta):
    """Write an unlearned checkpoint, with RecBole's keys and those of the original for unlearned models."""
    save_checkpoint(path, {
        "config": config.as_dict(),
        "epoch": last_request,
        "cur_step": 0,
        "best_valid_score": -torch.inf,
        "state_dict": model.state_dict(),
        "other_parameter": model.other_parameter(),
        "optimizer": None,
        "meta": meta,
    })  # fmt: skip
