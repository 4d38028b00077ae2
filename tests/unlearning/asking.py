"""Helpers that send a request to an algorithm, or open it as a case."""

import numpy as np

from recbole.unlearning.case import Case
from recbole.unlearning.request import Request
from recbole.utils.deadline import Deadline


def ask(algorithm, rows, index=0, seconds=None):
    """Ask an algorithm to forget log rows within some seconds (None: no limit); return the outcome."""
    return algorithm.forget([Request(index, "somebody", np.asarray(rows))], Deadline(seconds))


def open_case(algorithm, rows, index=0, deadline=None):
    """Mask log rows and return the :class:`Case` of that request, as the algorithm receives it."""
    request = Request(index, "somebody", np.asarray(rows))
    change = algorithm.bench.forget(request.rows)
    return Case((request,), change, Deadline() if deadline is None else deadline, algorithm.bench)
