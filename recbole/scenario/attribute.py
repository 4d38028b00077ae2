"""The attribute scenario: users request that an attribute, such as gender, can no longer be inferred from the model."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from recbole.scenario.base import Scenario
from recbole.scenario.sensitive import METHOD
from recbole.utils import UserError
from recbole.utils.flag import Flag

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from recbole.config import Config
    from recbole.evaluator import Views
    from recbole.unlearning.attribute_request import AttributeRequests

_FRACTION, _BATCHES = "protect_fraction", "protect_batches"


class Attribute(Scenario):
    """Attribute unlearning: a trained model is changed so that an attribute cannot be inferred from user embeddings.

    The model was never trained on the attribute, and no interaction is removed from the data. So there is no retrained
    model to compare with, and distances are measured from the base model. A protected user is one whose attribute is
    unlearned. For each attribute, the users to protect are divided over ``protect_batches`` requests; a request also
    protects the users of the attribute's earlier requests. Which users are protected (``protect_fraction`` of all), and
    in which order, depends only on the data and ``--forget_set_seed``, so it is the same for every attribute.
    """

    name = "attribute"
    kind = "attribute"
    removes = False
    flags = (
        Flag("attribute", str, "attributes of users to unlearn, one after another, such as gender", nargs="+"),
        Flag(_FRACTION, float, "share of users whose attribute is unlearned (default: 1); part of file names"),
        Flag(_BATCHES, int, "number of requests over which these users are spread, for each attribute (default: 4)"),
        Flag("attack_seeds", int, "number of inference attacks, each with another seed; 0: no attack (default: 1)"),
    )
    probes = ("distance",)

    @classmethod
    def chosen(cls, config: Config) -> bool:
        """Return whether the setting ``attribute`` is given."""
        return bool(config["attribute"])

    def settle(self) -> None:
        """Check the settings, and set the setting ``unlearning_fraction``, which has no meaning here, to None.

        Raises:
            UserError: an attribute is given twice, or a setting is given that applies only to requests that remove
                interactions.
        """
        config = self.config
        for key, instead in {
            "forget_set": "requests name an attribute, not interactions",
            "sensitive_category": "requests name an attribute, not interactions",
            "unlearning_fraction": "--protect_fraction sets the share of users who are protected",
            "retrain_checkpoint_idx_to_match": "no interaction leaves the data, so nothing is retrained",
            "other_seeds": "no interaction leaves the data, so there are no retrained models",
        }.items():
            if key in config.asked and config[key] is not None:
                raise UserError(f"{key} ({config.asked[key]}) does not apply with --attribute: {instead}")
        if config["unlearning_batchsize"] not in (None, 1):
            raise UserError(
                "unlearning_batchsize does not apply with --attribute: --protect_batches sets the number of requests"
            )
        names = self.attributes
        if len(set(names)) < len(names):
            raise UserError(f"--attribute {' '.join(names)}: each attribute may be given only once")
        config["unlearning_fraction"] = None

    @property
    def attributes(self) -> list[str]:
        """The names of the attributes to unlearn, in the order in which they are unlearned."""
        asked = self.config["attribute"]
        return [str(name) for name in (asked if isinstance(asked, (list, tuple)) else [asked])]

    def part_of_names(self) -> str:
        """Return the part of file names that says what is unlearned: the names of the attributes.

        If ``protect_fraction`` is set, this share and the seed that selects users come first.
        """
        from recbole.trainer.names import draw_part

        config, share = self.config, self.config[_FRACTION]
        draw = "" if share is None else draw_part(share, config["seed"], config["unlearn_sample_selection_seed"]) + "_"
        return f"{draw}{METHOD}_attribute_{'+'.join(self.attributes)}"

    @cached_property
    def _requests(self) -> AttributeRequests:
        """The requests, made from the users' attributes, which are read from the ``.user`` file."""
        import numpy as np

        from recbole.data.attributes import read_attribute
        from recbole.unlearning.attribute_request import attribute_requests
        from recbole.utils import stream

        config, dataset = self.config, self.dataset
        attributes = [read_attribute(config, dataset, name) for name in self.attributes]
        people = np.arange(1, dataset.n_users)
        order = stream(config["unlearn_sample_selection_seed"], "protected").permutation(people)
        share, n_batches = 1.0 if config[_FRACTION] is None else config[_FRACTION], config[_BATCHES]
        n_protected = round(share * len(people))
        if 0 < n_protected < n_batches:
            raise UserError(f"--{_BATCHES} {n_batches} is more than the users to protect: give at most {n_protected}")
        found = attribute_requests(attributes, order, n_protected, n_batches) if n_protected else None
        if found is None or not len(found.protected(len(found))):
            raise UserError(f"--{_FRACTION} {share} of {len(people)} users selects no user whose attribute is known")
        return found

    def requests(self) -> AttributeRequests:
        """Read the users' attributes, and return which users each request protects.

        Raises:
            UserError: the ``.user`` file is missing or cannot be used (see
                :func:`~recbole.data.attributes.read_attribute`), no user to protect has a known attribute, or there are
                more requests for an attribute than users to protect.
        """
        return self._requests

    def decides(self) -> Mapping[str, Any]:
        """Return the SHA-256 of the users' attribute values and of the users whom each request protects, as a dict."""
        return {"protected": self._requests.sha256}

    def view(self, forgotten: np.ndarray, checkpoint: int | None) -> Views:
        """Return the evaluation data of a checkpoint, in which results of protected users are also reported apart.

        The protected users at this checkpoint are the ``requesting`` users of the evaluation data. If all users are
        protected, ``requesting`` is empty, because there would be no other users to compare with.

        Args:
            forgotten: bool [rows of the log]; all False, because no interaction is forgotten in this scenario.
            checkpoint: number of the checkpoint (saved state) of the unlearning run, 0 to 3; ``None`` before any
                request.
        """
        from recbole.unlearning.schedule import checkpoint_sizes

        view = super().view(forgotten, None)
        if checkpoint is None:
            return view
        asked = self._requests.protected(checkpoint_sizes(len(self._requests))[checkpoint])
        everybody = len(asked) >= self.dataset.n_users - 1
        return replace(view, checkpoint=checkpoint, requesting=view.requesting if everybody else asked)
