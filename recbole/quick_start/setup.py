"""What every run starts with: the model's class, the data, and what is to be forgotten."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole.data import create_dataset
from recbole.evaluator import NOBODY, build_views
from recbole.generators.sensitive_lists import read_sensitive_items
from recbole.model import get_model
from recbole.quick_start.spam import Spam, add_spam
from recbole.scenario.forget_set_reader import find_forget_set, order_requests, read_forget_set
from recbole.trainer import Naming, load_checkpoint, load_weights
from recbole.unlearning.request import find_requests
from recbole.unlearning.schedule import checkpoint_sizes
from recbole.utils import UserError, init_seed

logger = logging.getLogger("recbole")

OF_TRAINING = (
    *("epochs", "train_batch_size", "learning_rate", "weight_decay", "stopping_step", "valid_metric", "eval_step"),
    *("learner", "clip_grad_norm", "enable_amp", "enable_scaler"),
)
"""Settings that configuration files hold for training; a run that does not train leaves them unread."""


@dataclass(frozen=True)
class Setup:
    """The nouns of a run.

    Attributes:
        config: the settings, bound to the model's class.
        model_class: the recommender.
        dataset: all of the data, spam included, nothing forgotten.
        names: what files are called.
        sensitive: bool [n_items], or None without a sensitive category.
        requests: what is to be forgotten, or None.
        spam: the attack, whose rows end the data, or None.
    """

    config: object
    model_class: type
    dataset: object
    names: Naming
    sensitive: np.ndarray | None
    requests: object | None
    spam: Spam | None = None

    @property
    def sizes(self):
        """After how many requests the four checkpoints are taken."""
        return checkpoint_sizes(len(self.requests))

    def forgotten(self, checkpoint):
        """Return the mask of a checkpoint (0 to 3), or of nothing forgotten (None)."""
        n_done = 0 if checkpoint is None else self.sizes[checkpoint]
        if self.requests is None:
            return np.zeros(len(self.dataset.log), dtype=bool)
        return self.requests.mask(n_done, len(self.dataset.log))

    def mask_name(self, checkpoint):
        """Return what a checkpoint's metadata say of its mask: the forget set and the requests done; None for none."""
        if checkpoint is None:
            return None
        return {"forget_set_sha256": self.requests.sha256, "requests_done": self.sizes[checkpoint]}

    def views(self, checkpoint):
        """Return the questions of a checkpoint, or of nothing forgotten (None)."""
        fake = NOBODY if self.spam is None else self.spam.fake
        return build_views(self.dataset, self.forgotten(checkpoint), checkpoint, self.sensitive, fake)

    def meta(self, kind, checkpoint):
        """Return the metadata that a checkpoint carries inside."""
        return {"kind": kind, "dataset": self.dataset.log.fingerprint, "mask": self.mask_name(checkpoint)}

    def path(self, name):
        """Return the path of a checkpoint by its name."""
        return Path(self.config["checkpoint_dir"]) / name

    def new_model(self, forgotten):
        """Return an untrained model on the masked data, from the run's seed."""
        config = self.config
        init_seed(config["seed"], config["reproducibility"], config["device"])
        return self.model_class(config, self.dataset.masked(forgotten)).to(config["device"])

    def load_model(self, path, checkpoint, loaded=None):
        """Return a trained model, what it derives from the data built under its checkpoint's mask.

        Args:
            path: the file.
            checkpoint: 0 to 3, or None for a model that has forgotten nothing.
            loaded: the file's content, if it has been read already.

        Raises:
            UserError: when the file is of other data, another mask or another shape.
        """
        content = load_checkpoint(path) if loaded is None else loaded
        meta = content.get("meta") if isinstance(content, dict) else None
        model = self.new_model(self.forgotten(checkpoint))
        load_weights(model, content, path)
        if meta is not None:
            if meta["dataset"] != self.dataset.log.fingerprint:
                raise UserError(
                    f"{path}: was trained on other data (file, filter or split) than {self.dataset.log.name}"
                )
            if meta["mask"] != self.mask_name(checkpoint):
                raise UserError(f"{path}: has another mask than is asked for; was the forget set made anew since?")
        model.eval()
        return model


def begin(config, forgetting):
    """Read the data and, if ``forgetting``, the forget set.

    Raises:
        UserError: for anything in the files or settings that cannot be.
    """
    model_class = get_model(config["model"])
    config.bind_model(model_class)
    for line in config.warnings:
        logger.warning(line)
    dataset = create_dataset(config, model_class.type)
    logger.info(dataset)
    spam = add_spam(config, dataset) if config["spam"] else None
    dataset = dataset if spam is None else spam.poisoned
    sensitive = _sensitive(config, dataset)
    requests = None
    if forgetting:
        requests = _requests(config, dataset, sensitive) if spam is None else spam.requests()
    if requests is not None:
        logger.info(requests.report())
    return Setup(config, model_class, dataset, Naming.from_config(config), sensitive, requests, spam)


def _requests(config, dataset, sensitive):
    path = find_forget_set(config, dataset.task_type)
    forget_set = read_forget_set(
        path, dataset.task_type, dataset.uid_field, dataset.iid_field, config["field_separator"]
    )
    if sensitive is None and None in forget_set.items:
        raise UserError(f"{path} lists users and no items: say which they want forgotten with --sensitive_category")
    ordered = order_requests(set(forget_set.entities))
    return find_requests(dataset, forget_set.entities, forget_set.items, ordered, forget_set.sha256, sensitive)


def _sensitive(config, dataset):
    """Return which items are on the sensitive list of the run's category."""
    category = config["sensitive_category"]
    if category is None:
        return None
    ids = dataset.log.vocabulary["item"].ids(read_sensitive_items(config["data_path"], category))
    if not (ids > 0).any():
        raise UserError(f"none of the sensitive items of '{category}' is in {dataset.log.name}; look at the id spaces")
    mask = np.zeros(dataset.n_items, dtype=bool)
    mask[ids[ids > 0]] = True
    logger.info("sensitive category %s: %d of %d listed items are in the data", category, mask.sum(), len(ids))
    return mask
