"""What models share that are a closed function of the retained training pairs."""

import torch

from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType, ModelType


class FittedRecommender(GeneralRecommender):
    """A model without gradients: fitted when it is first asked for scores, brought up to date after :meth:`rebuild`.

    Nothing that is learned is stored in a checkpoint. It would be as large as the catalogue squared, and it is a
    function of the data under the checkpoint's mask, from which the model is built when it is loaded.

    A subclass defines :meth:`fit`, :meth:`scores` and :meth:`learned`, and :meth:`update` if it knows a way that is
    cheaper than fitting anew.
    """

    type = ModelType.TRADITIONAL
    input_type = InputType.POINTWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self._fitted = None
        self.rebuild(dataset)

    def rebuild(self, dataset):
        """Take the retained training pairs; fitting waits for the next question."""
        self._retained = dataset.inter_matrix("csr").astype("float64")

    def fit(self, matrix):
        """Learn from counts of pairs, a SciPy CSR matrix [n_users, n_items]."""
        raise NotImplementedError

    def update(self, old, new):
        """Learn ``new`` having learned ``old``; by default, anew."""
        self.fit(new)

    def scores(self, matrix, users):
        """Return the scores [len(users), n_items] of user ids (int64 array), given the fitted ``matrix``."""
        raise NotImplementedError

    def calculate_loss(self, interaction):
        """Return zero: there is nothing to learn by gradient."""
        return next(self.parameters()).sum() * 0

    def predict(self, interaction):
        """Return the scores [batch] of (user, item) pairs."""
        users, place = torch.unique(interaction[self.USER_ID], return_inverse=True)
        return self._scores(users)[place, interaction[self.ITEM_ID]]

    def full_sort_predict(self, interaction):
        """Return the scores [batch, n_items]."""
        return self._scores(interaction[self.USER_ID])

    def learn(self):
        """Fit, or bring up to date, unless that has been done."""
        if self._fitted is None:
            self.fit(self._retained)
        elif self._fitted is not self._retained:
            self.update(self._fitted, self._retained)
        self._fitted = self._retained

    def _scores(self, users):
        self.learn()
        return self.scores(self._fitted, users.cpu().numpy()).to(users.device)
