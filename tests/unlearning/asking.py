"""Requests put to an algorithm, or opened as a case, in the tests' shorthand."""

import numpy as np

from recbole.unlearning.case import Case
from recbole.unlearning.request import Request
from recbole.utils.deadline import Deadline


def ask(algorithm, rows, index=0, seconds=None):
    """Ask an algorithm to forget log rows in so many seconds, or as long as it takes; return the outcome."""
    return algorithm.forget([Request(index, "somebody", np.asarray(rows))], Deadline(seconds))


def open_case(algorithm, rows, index=0, deadline=None):
    """Mask log rows and return the :class:`Case` of that request, as the algorithm's own work on it finds it."""
    request = Request(index, "somebody", np.asarray(rows))
    change = algorithm.bench.forget(request.rows)
    return Case((request,), change, Deadline() if deadline is None else deadline, algorithm.bench)
