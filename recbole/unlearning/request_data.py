"""What an unlearning algorithm may ask of the data: the examples of a request, and retained ones."""

import numpy as np

from recbole.data import Interaction, Negatives
from recbole.utils import InputType, stream


class RequestData:
    """The data under the current mask, as one request after another sees them; base of the algorithms.

    What is drawn comes from streams that are keyed by the run's seed, the request's index and what it is for.

    Args:
        config: the run's configuration.
        model: the model that is to forget.
        dataset: the data under the current mask.

    Attributes:
        negatives: :class:`~recbole.data.Negatives` for the model's batches.
        n_train: number of training examples that are left.
    """

    def __init__(self, config, model, dataset):
        self.config, self.model, self.dataset = config, model, dataset
        self.negatives = Negatives(config, dataset, model.input_type)
        self.n_train = len(dataset.train_examples())

    def multiplicity(self, wanted):
        """Return how many negatives to put beside each positive, and how many rows of a batch an example then makes.

        An example's loss is the mean over its rows. A pairwise loss is an expectation over negatives, which ``wanted``
        draws estimate better than one; a pointwise loss has its negatives as rows, in the proportion of training.
        """
        if not self.negatives.times:
            return 1, 1
        if self.negatives.input_type is InputType.PAIRWISE:
            return wanted, wanted
        return self.negatives.times, self.negatives.times + 1

    def paired(self, change, index, times=1):
        """Return ``(before, after)``; a target that is in both has the same negatives in both.

        A model that takes negatives gets ``times`` for each positive, as rows one after the other.
        """
        before = self.with_negatives(change.before, times, index, "request")
        if not self.negatives.times or not len(change.after):
            return before, change.after
        return before, self.negatives.like(change.after, before, change.kept, times)

    def context(self, change, index, times=1, limit=4096):
        """Return the requesters' retained training examples, at most ``limit``, and which share of them that is."""
        return self._drawn(self.dataset.examples_of(change.entities), limit, index, "context", times)

    def retained(self, n, index, times=1):
        """Return ``n`` (or fewer) retained training examples, drawn evenly, and which share of them that is."""
        drawn = self.retained_examples(n, index)
        batch = self.with_negatives(self.dataset.collate(drawn), times, index, "retained")
        return batch, max(len(drawn), 1) / max(self.n_train, 1)

    def retained_examples(self, n, index, name="retained"):
        """Return the numbers of ``n`` (or fewer) retained training examples, drawn evenly; ``None`` gives all."""
        if n is None or n >= self.n_train:
            return self.dataset.train_examples()
        return self.dataset.draw_examples(n, stream(self.config["seed"], "unlearn", index, name))

    def affected(self, change, hops, limit, index, times=1):
        """Return other retained examples whose loss changes when the rows leave what the model derives from the data.

        Those of ``change.after`` are not among them.

        Args:
            change: the request's.
            hops: how far to look in the graph, at most; the model's own ``reach`` may be less.
            limit: at most so many examples.
            index: the request's index.
            times: negatives for each positive.

        Returns:
            A batch, empty for a model whose losses do not depend on other people's rows, and which share of all
            affected examples within ``hops`` it is.
        """
        reach = self.model.reach
        if reach is None or not limit:
            return Interaction({}), 1.0
        near = np.setdiff1d(self.dataset.examples_near(change.rows, min(hops, reach)), change.left, assume_unique=True)
        return self._drawn(near, limit, index, "affected", times)

    def curvature_sample(self, change, index, n, times=1):
        """Return retained examples that stand for all: batches, and the weight of each of their loss sums.

        A draw of a few from many would leave the rows of look-up tables that a request moves without curvature. So
        the requesters' own examples (at most 4096, or ``n``, with ``times`` negatives), those of others on the same
        items and the rest of the data (at most ``n`` of each) are drawn apart, each weighted to its number.

        Returns:
            The batches, their weights, and whether they hold all retained examples.
        """
        data, n_train = self.dataset, self.n_train
        own = data.examples_of(change.entities)
        linked = np.setdiff1d(data.examples_near(change.rows), own, assume_unique=True)
        others = np.setdiff1d(self.retained_examples(n, index), np.concatenate([own, linked]), assume_unique=True)
        strata = {
            "own": (own, len(own), max(4096, n), times),
            "linked": (linked, len(linked), n, 1),
            "others": (others, n_train - len(own) - len(linked), n, 1),
        }
        batches, weights = [], []
        for name, (examples, size, most, wanted) in strata.items():
            if len(examples):
                negatives, rows = self.multiplicity(wanted)
                batches.append(self._drawn(examples, most, index, name, negatives)[0])
                weights.append(size / (min(len(examples), most) * rows))
        return batches, weights, n >= n_train

    def _drawn(self, examples, limit, index, name, times):
        share = 1.0
        if len(examples) > limit:
            share = limit / len(examples)
            examples = stream(self.config["seed"], "unlearn", index, name).choice(examples, limit, replace=False)
        return self.with_negatives(self.dataset.collate(examples), times, index, name), share

    def with_negatives(self, batch, times, index, *name):
        """Return a batch with negatives drawn from the request's stream of that name (strings and numbers)."""
        return self.negatives.add(batch, stream(self.config["seed"], "unlearn", index, *name, "negatives"), times)
