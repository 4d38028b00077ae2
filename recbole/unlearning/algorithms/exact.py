"""Exact deletion, from models that are a function of the data in closed form."""

from dataclasses import dataclass

import scipy.sparse
import torch

from recbole.unlearning.algorithm import Outcome, UnlearningAlgorithm
from recbole.utils import UserError


@dataclass(frozen=True)
class ExactHyper:
    """It has no hyper-parameters."""


class Exact(UnlearningAlgorithm):
    """The model is brought to what it would have been without the forgotten rows: counted, or solved, anew.

    For models that declare :meth:`~recbole.model.abstract_recommender.AbstractRecommender.learned`. Popularity and
    frequencies are counted again, neighbourhoods where a count changed (ItemKNN), and EASE's inverse loses a few ranks
    by the identity of Woodbury. What is left of the forgotten rows is nothing but rounding, for a fraction of the cost
    of fitting. Checkpoints carry what the deletions left, where it is not counted anew at each request, and so do the
    snapshots of a run: EASE's ``n_items``^2 numbers are written at each, for a killed run to end with the same bits.

    A request is not cut off by the budget, of which it would use milliseconds: half a deletion is none.
    """

    name = "exact"
    Hyper = ExactHyper

    def check(self, model):
        """Refuse a model that is not a function of the data in closed form."""
        if model.learned() is None:
            raise UserError(
                f"exact deletes from models that are a function of the data in closed form, and {type(model).__name__} "
                "is none: it is trained, or knows nothing of the data"
            )

    @classmethod
    def moves(cls, model):
        """Return no parameter: what changes is what the model derives from the data."""
        return ()

    def answer(self, change, index, out_of_time, clock):
        """Forget, and measure by how much that changed what the model knew."""
        before = self.model.learned()
        self.model.rebuild(self.dataset)
        after = self.model.learned()
        clock.lap("solve")
        change = sum(_square(new - old) for new, old in zip(after, before, strict=True)) ** 0.5
        size = sum(map(_square, before)) ** 0.5
        clock.lap("apply")
        if change == 0:
            return Outcome("skipped", "the deletion changes nothing that the model knows")
        return Outcome("applied", relative_change=change / max(size, 1e-30))


def _square(array):
    """Return the sum of squares of a tensor or of a SciPy array."""
    values = torch.from_numpy(array.data) if scipy.sparse.issparse(array) else array
    return float(torch.linalg.vector_norm(values.double())) ** 2
