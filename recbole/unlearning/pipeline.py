"""Requests one after another, in their order, with four stops to save."""

import contextlib
import json
import logging
import os
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from recbole.trainer import save_checkpoint
from recbole.unlearning.algorithm import Outcome
from recbole.unlearning.schedule import checkpoint_sizes, chunks
from recbole.utils import UserError
from recbole.utils.device import now
from recbole.utils.files import finite

logger = logging.getLogger("recbole")


class RequestLog:
    """JSON lines, one a request; what a killed run wrote after its last snapshot is cut off again.

    Args:
        path: the file.
        size: bytes of it to go on after; it has as many.

    Raises:
        UserError: from every method, when the file cannot be written.
    """

    def __init__(self, path, size=0):
        self.path = Path(path)
        with self._telling():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(self.path, "r+b" if size else "w+b")  # noqa: SIM115
            self.file.truncate(size)
            self.file.seek(size)

    @contextlib.contextmanager
    def _telling(self):
        try:
            yield
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error

    def add(self, record):
        """Append one record; numbers that are not finite are written as ``null``."""
        with self._telling():
            self.file.write(json.dumps(finite(record), allow_nan=False).encode() + b"\n")

    def size(self):
        """Return the file's length in bytes, everything on the disk."""
        with self._telling():
            self.file.flush()
            os.fsync(self.file.fileno())
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
        budget: seconds for everything, or None. A piece may use its even share of it, and no more than is left; what
            others did not use is not handed on. With nothing left it is a ``timeout`` that did not run: its rows are
            forgotten, the parameters stay.
        show_progress: draw a progress bar on a terminal.
    """

    def __init__(self, algorithm, requests, batch_size=1, resume=None, log_path=None, budget=None, show_progress=True):
        self.algorithm, self.requests, self.resume = algorithm, requests, resume
        self.sizes = checkpoint_sizes(len(requests))
        self.chunks = chunks(len(requests), batch_size, self.sizes)
        self.budget, self.log_path, self.show_progress = budget, log_path, show_progress
        self.done, self.outcomes = 0, Counter()
        self.total, self.seconds, self.cpu_seconds = 0.0, [], 0.0  # the last two of the requests that worked

    def run(self, save):
        """Forget everything; call ``save(checkpoint, n_done, summary)`` at each of the four checkpoints.

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
        device = next(self.algorithm.model.parameters()).device
        began, cpu = now(device), time.process_time()
        outcome = self.algorithm.forget(rows, start, self._allowance())
        seconds, cpu = now(device) - began, time.process_time() - cpu
        idle = self._idle(range(start, stop), outcome.touched)
        worked = stop - start - len(idle)
        self.outcomes[outcome.status] += worked
        self.outcomes["skipped"] += len(idle)
        self.total += seconds
        if worked and outcome.status != "skipped":
            self.seconds += [seconds / worked] * worked
            self.cpu_seconds += cpu
        if outcome.status in ("timeout", "diverged"):
            of = f"request {start}" if stop - start == 1 else f"requests {start} to {stop - 1}"
            names = ", ".join(name for name in requests.entities[start:stop] if name not in idle)
            logger.warning("%s (%s): %s: %s", of, names, outcome.status, outcome.reason)
        record = {"index": start, "entity": requests.entities[start], "rows": len(rows), "total_seconds": seconds}
        if stop - start > 1:
            record |= {"n_requests": stop - start, "entities": requests.entities[start:stop], "skipped": idle}
        elif idle:
            outcome.reason = idle[requests.entities[start]]
        record |= asdict(outcome)
        del record["touched"]
        return record

    def _allowance(self):
        """Return the seconds that the next piece may use, or None."""
        if self.budget is None:
            return None
        return max(min(self.budget / len(self.chunks), self.budget - self.total), 0.0)

    def _idle(self, indices, touched):
        """Return why there was nothing to do for those of a piece's requests for which there was not, by entity."""
        requests = [self.requests[at] for at in indices]
        user = self.algorithm.dataset.log.user
        return {
            request.entity: request.unknown or Outcome.NOTHING
            for request in requests
            if not np.isin(user[request.rows], touched).any()
        }

    def summary(self):
        """Return what was done so far: the counts of requests, and seconds.

        ``worked`` of them had something to do: they were applied, timed out or diverged. Means and the 95th percentile
        are over these, each with an even share of its piece's seconds, and None without any; ``seconds_total`` is of
        everything.
        """
        seconds = sorted(self.seconds)
        count = len(seconds)
        return {
            "total": len(self.requests),
            "done": sum(self.outcomes.values()),
            **{status: self.outcomes.get(status, 0) for status in ("applied", "skipped", "timeout", "diverged")},
            "worked": count,
            "seconds_total": self.total,
            "seconds_mean": sum(seconds) / count if count else None,
            "seconds_p95": seconds[min(int(0.95 * count), count - 1)] if count else None,
            "cpu_seconds_mean": self.cpu_seconds / count if count else None,
        }

    def _save_snapshot(self, log):
        self.resume.save({
            "done": self.done,
            "outcomes": dict(self.outcomes),
            "total": self.total,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "log_size": log.size() if log is not None else 0,
            "state_dict": self.algorithm.model.state_dict(),
            "other_parameter": self.algorithm.model.other_parameter(),
        })  # fmt: skip

    def _load_snapshot(self):
        state = self.resume.load() if self.resume is not None else None
        if state is None:
            return 0
        self._check_log(state["log_size"])
        self.done, self.outcomes = state["done"], Counter(state["outcomes"])
        self.total, self.seconds, self.cpu_seconds = state["total"], state["seconds"], state["cpu_seconds"]
        self.algorithm.go_on(
            state["state_dict"], self.requests.mask(self.chunks[self.done - 1][1], len(self.algorithm.dataset.log))
        )
        self.algorithm.model.load_other_parameter(state["other_parameter"])
        self.resume.restore_generators(state)
        logger.info("continuing after %d of %d requests", self.chunks[self.done - 1][1], len(self.requests))
        return state["log_size"]

    def _check_log(self, size):
        """Refuse a log that has lost what was in it when the snapshot was taken."""
        there = self.log_path.stat().st_size if self.log_path and self.log_path.is_file() else 0
        if there < size:
            raise UserError(
                f"{self.log_path} lacks requests of the interrupted run ({there} of {size} bytes are there); "
                f"delete {self.resume.path} to start over"
            )


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
