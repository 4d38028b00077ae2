"""The spam scenario in a run: the poisoned data, whose requests there are, and what it still does to genuine users."""

import logging
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from recbole.evaluator import EvalSettings, TargetView, evaluate, get_probe
from recbole.generators.order import order_requests
from recbole.scenario.attack import find_attack
from recbole.unlearning.request import requests_of
from recbole.utils import UserError, atomic_write
from recbole.utils.distributed import is_main
from recbole.utils.logger import LOG_FOLDER

logger = logging.getLogger("recbole")


@dataclass(frozen=True)
class Spam:
    """What a run with ``--spam`` knows of the attack.

    Attributes:
        clean: the data without it.
        poisoned: the clean data and, after them, the attack.
        targets: int64, ids of the promoted items.
        tokens: their tokens.
        sha256: of the attack's file.
    """

    clean: object
    poisoned: object
    targets: np.ndarray
    tokens: list
    sha256: str

    @property
    def fake(self):
        """The ids of the fake users (or sessions), int64."""
        return np.arange(self.clean.n_users, self.poisoned.n_users)

    def requests(self):
        """Return one request for each fake user, in the order that all programs share."""
        tokens = self.poisoned.log.vocabulary["user"].tokens(self.fake)
        return requests_of(self.poisoned, order_requests(tokens), self.sha256)

    def about(self):
        """Return what a run's record says of the attack."""
        return {
            "sha256": self.sha256,
            "fake_entities": len(self.fake),
            "fake_interactions": len(self.poisoned.log) - len(self.clean.log),
            "target_items": self.tokens,
        }


def add_spam(config, clean):
    """Return the :class:`Spam` of a run on clean data.

    Raises:
        UserError: when the attack is missing, is not the one that the run is about, or does not fit the data.
    """
    attack = find_attack(config, clean.task_type)
    targets = clean.log.vocabulary["item"].ids(attack.target_items)
    unknown = np.flatnonzero(targets <= 0)
    if len(unknown):
        item = attack.target_items[unknown[0]]
        raise UserError(
            f"{attack.path}: promotes '{item}', which the filters do not leave in the clean data; {attack.remedy}"
        )
    spam = Spam(clean, _poisoned(clean, attack), targets, attack.target_items, attack.sha256)
    about = spam.about()
    logger.info(
        "spam: %d fake entities, %d interactions, %d promoted items (%s)",
        about["fake_entities"], about["fake_interactions"], len(targets), attack.path,
    )  # fmt: skip
    return spam


def _poisoned(clean, attack):
    try:
        return clean.with_spam(attack.path)
    except UserError as error:
        raise UserError(f"{error}; {attack.remedy}") from error


def spam_rows(setup, model, stem=None, /, **about):
    """Return what genuine users are shown by a model: utility and promoted items; none without ``--spam``.

    Args:
        setup: the run's :class:`~recbole.quick_start.setup.Setup`.
        model: any recommender, of the poisoned or of the clean data: genuine users have one id in both.
        stem: also write the promoted items' probabilities under ``log/``, in a file of this stem.
        about: columns of the result table: ``model``, ``algorithm``, ``checkpoint``.
    """
    spam, config = setup.spam, setup.config
    if spam is None or config["sensitive_eval_only"]:
        return []
    asked = spam.clean.eval_rows("test")
    keep = None
    if stem is not None and config["save_interaction_probabilities"] and is_main():
        keep = partial(_write_probabilities, LOG_FOLDER / f"{stem}_interaction_probabilities.npz", asked, spam)
    view, settings = TargetView(asked, spam.targets), EvalSettings.from_config(config)
    return evaluate(model, view, settings, [get_probe("targets")(keep)], **about)


def _write_probabilities(path, asked, spam, found):
    """Write ERASE's interaction probabilities as arrays of internal ids; only the promoted items are named."""
    with atomic_write(path, "wb") as file:
        np.savez_compressed(
            file,
            probability=np.exp(found.log_probability),
            user=asked.entity,
            target=spam.targets,
            target_token=np.array(spam.tokens),
            positive=asked.positives.values,
            positive_offset=asked.positives.offsets,
        )


def clean_rows(setup):
    """Return the same rows of the model that never saw the spam, if there is one of these data; else none.

    It is loaded on the clean data, as its table of users is smaller; the questions are the clean data's in any case.
    """
    if setup.spam is None or setup.config["sensitive_eval_only"]:
        return []
    names = replace(setup.names, spam=False)
    clean = replace(setup, dataset=setup.spam.clean, names=names, requests=None, spam=None)
    path = clean.path(names.base())
    if not path.exists():
        logger.info("no clean model (%s) to compare with: the same training without --spam makes it", path.name)
        return []
    try:
        model = clean.load_model(path, None)
    except UserError as error:
        logger.warning("the clean model is left out: %s", error)
        return []
    return spam_rows(setup, model, f"{setup.path(setup.names.base()).stem}_clean", model="clean")


def log_targets(rows, config):
    """Log what the result rows of one model say of the promoted items, if anything."""
    about_targets = [row for row in rows if row["metric"].startswith("target_")]
    if not about_targets:
        return
    kind, places = about_targets[0]["model"], config["metric_decimal_place"]
    found = {(row["metric"], row["k"]): row["value"] for row in about_targets}
    for k in config["topk"]:
        logger.info(
            "[Top-%d] Promoted items, genuine users, %s model: hit rate %.*f, exposure %.*f",
            k, kind, places, found["target_hit_rate", k], places, found["target_exposure", k],
        )  # fmt: skip
    logger.info(
        "Promoted items, genuine users, %s model: mean rank %.1f, mean log probability %.*f",
        kind, found["target_rank", None], places, found["target_log_probability", None],
    )  # fmt: skip
