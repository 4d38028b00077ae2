"""Attributes: people ask that what the model knows of their gender, age and the like be unreadable."""

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
    """A trained model is changed so that an attribute of people cannot be read off their vectors.

    The attribute was never trained on; nothing leaves the data, so that no retrained model stands for comparison:
    distances are from the base. People arrive in ``protect_batches`` requests for each attribute, and each request
    protects those so far. Who is among the protected (``protect_fraction`` of all) and who comes first follow from the
    data and ``--forget_set_seed``, whatever the attribute.
    """

    name = "attribute"
    kind = "attribute"
    removes = False
    flags = (
        Flag("attribute", str, "attributes of people to make unreadable, one after another, such as gender", nargs="+"),
        Flag(_FRACTION, float, "share of people whose attribute is protected (default: 1); part of file names"),
        Flag(_BATCHES, int, "requests in which these people arrive, for each attribute (default: 4)"),
        Flag("attack_seeds", int, "how often attackers try to read the attribute; 0: never (default: 1)"),
    )
    probes = ("distance",)

    @classmethod
    def chosen(cls, config: Config) -> bool:
        """Return whether the run is about attributes."""
        return bool(config["attribute"])

    def settle(self) -> None:
        """Refuse what is for requests that take rows out of the data."""
        config = self.config
        for key, instead in {
            "forget_set": "it names an attribute, and no interactions",
            "sensitive_category": "it names an attribute, and no interactions",
            "unlearning_fraction": "--protect_fraction says how many people are protected",
            "retrain_checkpoint_idx_to_match": "nothing leaves the data, so that there is nothing to train again",
            "other_seeds": "nothing leaves the data, so that there are no retrained models",
        }.items():
            if key in config.asked and config[key] is not None:
                raise UserError(f"{key} ({config.asked[key]}) means nothing with --attribute: {instead}")
        if config["unlearning_batchsize"] not in (None, 1):
            raise UserError(
                "unlearning_batchsize means nothing with --attribute: --protect_batches says who comes when"
            )
        names = self.attributes
        if len(set(names)) < len(names):
            raise UserError(f"--attribute: {' '.join(names)} names one twice")
        config["unlearning_fraction"] = None

    @property
    def attributes(self) -> list[str]:
        """The attributes' names, in the order in which they are protected."""
        asked = self.config["attribute"]
        return [str(name) for name in (asked if isinstance(asked, (list, tuple)) else [asked])]

    def part_of_names(self) -> str:
        """Return which attributes are protected and, where a person said it, of which share of people."""
        from recbole.trainer.names import draw_part

        config, share = self.config, self.config[_FRACTION]
        draw = "" if share is None else draw_part(share, config["seed"], config["unlearn_sample_selection_seed"]) + "_"
        return f"{draw}{METHOD}_attribute_{'+'.join(self.attributes)}"

    @cached_property
    def _requests(self) -> AttributeRequests:
        import numpy as np

        from recbole.data.attributes import read_attribute
        from recbole.unlearning.attribute_request import attribute_requests
        from recbole.utils import stream

        config, dataset = self.config, self.dataset
        attributes = [read_attribute(config, dataset, name) for name in self.attributes]
        people = np.arange(1, dataset.n_users)
        order = stream(config["unlearn_sample_selection_seed"], "protected").permutation(people)
        share = 1.0 if config[_FRACTION] is None else config[_FRACTION]
        found = attribute_requests(attributes, order, round(share * len(people)), config[_BATCHES])
        if not len(found.protected(len(found))):
            raise UserError(f"--{_FRACTION} {share} of {len(people)} people is nobody whose attribute is known")
        return found

    def requests(self) -> AttributeRequests:
        """Read the people's attributes, and return who is protected when.

        Raises:
            UserError: as :func:`~recbole.data.attributes.read_attribute`, or nobody would be protected.
        """
        return self._requests

    def decides(self) -> Mapping[str, Any]:
        """Return what makes an unlearned model beside base and algorithm: who is protected in what."""
        return {"protected": self._requests.sha256}

    def view(self, forgotten: np.ndarray, checkpoint: int | None) -> Views:
        """Return the questions of a checkpoint, with the people who are protected by then as those who asked."""
        from recbole.unlearning.schedule import checkpoint_sizes

        view = super().view(forgotten, None)
        if checkpoint is None:
            return view
        asked = self._requests.protected(checkpoint_sizes(len(self._requests))[checkpoint])
        everybody = len(asked) >= self.dataset.n_users - 1
        return replace(view, checkpoint=checkpoint, requesting=view.requesting if everybody else asked)
