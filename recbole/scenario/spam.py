"""The spam scenario: fake users or sessions promote unpopular items, and unlearning should undo their influence."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.generators.usual_filters import USUAL_FILTERS
from recbole.scenario.base import Scenario
from recbole.scenario.making import Made, Source
from recbole.scenario.sensitive import contradiction
from recbole.utils import UserError, atomic_write
from recbole.utils.flag import Flag

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    import numpy as np

    from recbole.config import Config
    from recbole.data.dataset import Dataset
    from recbole.data.questions import EvalRows
    from recbole.evaluator.kinds import Recommender, Reference
    from recbole.evaluator.probes.targets import TargetScores
    from recbole.generators.imitation import CleanBaskets, CleanInteractions
    from recbole.scenario.files.attack import Attack
    from recbole.trainer.state import Run
    from recbole.unlearning.request import Requests

logger = logging.getLogger("recbole")


class Spam(Scenario):
    """A bandwagon attack is injected into the training data, and unlearning should undo its effect.

    In this attack, fake users (in session-based data: fake sessions) promote a few unpopular items, hidden among
    popular ones. The run's data are the clean log followed by the attack's rows (see `recbole.generators.spam_writer`).
    Clean rows keep their ids and split labels, and fake users are not filtered. So the data with all spam rows marked
    as forgotten equal the clean data. There is one deletion request for each fake user (SBR: session), for all rows of
    that user. The evaluation measures, on the test rows of the clean data, how much the promoted items are recommended
    to genuine users. A model trained without spam is evaluated for comparison, if there is one.

    Attributes:
        clean: the data without the attack.
        attack: the attack's file and promoted items, see :class:`~recbole.scenario.files.attack.Attack`.
        targets: int64, ids of the promoted items.
    """

    name = "spam"
    plants, usual_fraction = True, 0.01
    flags = (
        Flag("spam", bool, "spam attack: fake interactions are added, and unlearning forgets them", False),
        Flag("n_target_items", int, "number of items that the spam promotes; part of file names (default: 10)", 10),
    )
    making_flags = (
        Flag("spam", bool, "make spam instead of a forget set"),
        Flag("n_target_items", int, "number of items that the spam promotes (default: 10)"),
        *(
            Flag(key, str, f"filter of the run; spam promotes only items that it keeps (default: {usual} for CF)")
            for key, usual in USUAL_FILTERS["CF"].items()
        ),
        Flag("overwrite", bool, "replace spam that was made with another number of items or from other data"),
    )

    @classmethod
    def chosen(cls, config: Config) -> bool:
        """Return whether the setting ``spam`` is on."""
        return bool(config["spam"])

    def settle(self) -> None:
        """Set ``unlearning_fraction``, here the share of fake users, to 0.01 if the user did not set it.

        Raises:
            UserError: ``forget_set`` is set too.
        """
        config = self.config
        if config["forget_set"] is not None:
            raise UserError(contradiction(config, "spam"))
        if str(config.source("unlearning_fraction")).startswith("default"):
            config["unlearning_fraction"] = self.usual_fraction
            config.warnings.append(f"spam without unlearning_fraction: the default, {self.usual_fraction}, is used")

    def part_of_names(self) -> str:
        """Return the part of file names that describes the attack: fraction, seed, and number of promoted items."""
        from recbole.trainer.names import draw_part

        config = self.config
        draw = draw_part(float(config["unlearning_fraction"]), config["seed"], config["unlearn_sample_selection_seed"])
        return f"{draw}_n_target_items_{config['n_target_items']}"

    def planted(self, clean: Dataset) -> Dataset:
        """Return the clean data followed by the attack's rows.

        Raises:
            UserError: the attack's files are missing, do not match the settings, or promote items that are not in the
                data.
        """
        import numpy as np

        from recbole.scenario.files.attack import find_attack

        self.clean, self.attack = clean, find_attack(self.config, clean.task_type)
        self.targets = clean.log.vocabulary["item"].ids(self.attack.target_items)
        unknown = np.flatnonzero(self.targets <= 0)
        if len(unknown):
            item = self.attack.target_items[unknown[0]]
            raise UserError(
                f"{self.attack.path} promotes '{item}', which the run's filters remove from the clean data; "
                f"{self.attack.remedy}"
            )
        poisoned = _poisoned(clean, self.attack)
        logger.info(
            "spam: %d fake users (or sessions), %d interactions, %d promoted items (%s)",
            poisoned.n_users - clean.n_users, len(poisoned.log) - len(clean.log), len(self.targets), self.attack.path,
        )  # fmt: skip
        return poisoned

    @property
    def n_planted(self) -> int:
        """Number of rows (interactions) that the attack adds to the clean data."""
        return len(self.dataset.log) - len(self.clean.log)

    def fake(self) -> np.ndarray:
        """Return the ids of the fake users (SBR: sessions), int64."""
        import numpy as np

        return np.arange(self.clean.n_users, self.dataset.n_users)

    def requests(self) -> Requests:
        """Return one request for each fake user (SBR: session), in the order of the users' tokens."""
        from recbole.generators.order import order_requests
        from recbole.unlearning.request import requests_of

        tokens = self.dataset.log.vocabulary["user"].tokens(self.fake())
        return requests_of(self.dataset, order_requests(tokens), self.attack.sha256)

    @cached_property
    def clean_rows(self) -> EvalRows:
        """The test rows of the clean data: each is one ranking to evaluate, for a genuine user (SBR: session)."""
        return self.clean.eval_rows("test")

    @cached_property
    def test_rows(self) -> EvalRows:
        """The test rows of the data with the attack: those of the clean data, and those of fake users or sessions."""
        return self.dataset.eval_rows("test").resembling(self.clean_rows, self.fake())

    def ask(
        self, model: Recommender, beside: Path | None = None, reference: Reference | None = None, /, **about: Any
    ) -> list[dict[str, Any]]:
        """Evaluate a model's recommendations to genuine users: ranking metrics, and how high promoted items rank.

        The model may be trained with or without the spam: genuine users have the same ids in both cases.

        Args:
            model: any recommender trained on this data.
            beside: path prefix of the file of the promoted items' probabilities, which is written if the setting
                ``save_interaction_probabilities`` is on; ``None`` writes no file.
            reference: the retrained model. If it is given, further rows hold the model's value minus that of the
                retrained model; their column ``minus`` is ``retrained``.
            about: values of columns that all rows get, such as ``model``, ``algorithm`` and ``checkpoint``.

        Returns:
            Rows of the result table (column name to value); none with the setting ``sensitive_eval_only``.
        """
        from recbole.evaluator import EvalSettings, TargetView, evaluate
        from recbole.evaluator.probes.targets import Targets
        from recbole.utils.distributed import is_main

        config = self.config
        if config["sensitive_eval_only"]:
            return []
        asked, keep = self.clean_rows, None
        if beside is not None and config["save_interaction_probabilities"] and is_main():
            path = beside.with_name(f"{beside.name}_interaction_probabilities.npz")
            keep = partial(self._write_probabilities, path, asked)
        view, settings = TargetView(asked, self.targets), EvalSettings.from_config(config)
        return evaluate(model, view, settings, [Targets(keep)], reference, **about)

    def _write_probabilities(self, path: Path, asked: EvalRows, found: TargetScores) -> None:
        """Write the promoted items' probabilities, which ERASE calls interaction probabilities, to an ``.npz`` file.

        Users and items in the arrays are ids; tokens are written for the promoted items only.

        Args:
            path: the file to write.
            asked: the evaluation rows: each is one ranking for a genuine user.
            found: the log probabilities of the promoted items, one row per evaluation row.
        """
        import numpy as np

        with atomic_write(path, "wb") as file:
            np.savez_compressed(
                file,
                probability=np.exp(found.log_probability),
                user=asked.entity,
                target=self.targets,
                target_token=np.array(self.attack.target_items),
                positive=asked.positives.values,
                positive_offset=asked.positives.offsets,
            )

    def references(self, run: Run, about: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the results of :meth:`ask` for the model trained without spam; none if there is no such model.

        The model is loaded with the clean data, because its user table has no rows for fake users.
        """
        import numpy as np

        from recbole.trainer.learn import load
        from recbole.trainer.state import State
        from recbole.trainer.stored import Stored

        if self.config["sensitive_eval_only"]:
            return []
        path = self.path(replace(self.names, planted=False).base())
        if not path.exists():
            logger.info("there is no model trained without spam (%s) to compare with: train one without --spam", path)
            return []
        try:
            state = State("clean", self.clean, np.zeros(len(self.clean.log), dtype=bool))
            model = load(run, state, Stored.read(path))
        except UserError as error:
            logger.warning("the model trained without spam is left out of the comparison: %s", error)
            return []
        identity = run.identity(state)
        stem = Path(self.names.base()).stem
        own = {"model": "clean", "settings": identity.shown}
        return self.ask(model, self.places.logs / f"{stem}_clean", **{**about, **own})

    def tell(self, rows: list[dict[str, Any]]) -> None:
        """Log one model's hit rate, exposure, mean rank and mean log probability of the promoted items.

        Args:
            rows: result rows of the model; nothing is logged if they have no metric of promoted items.
        """
        about_targets = [row for row in rows if row["metric"].startswith("target_")]
        if not about_targets:
            return
        kind, places = about_targets[0]["model"], self.config["metric_decimal_place"]
        found = {(row["metric"], row["k"]): row["value"] for row in about_targets}
        for k in self.config["topk"]:
            logger.info(
                "[Top-%d] Promoted items, genuine users, %s model: hit rate %.*f, exposure %.*f",
                k, kind, places, found["target_hit_rate", k], places, found["target_exposure", k],
            )  # fmt: skip
        logger.info(
            "Promoted items, genuine users, %s model: mean rank %.1f, mean log probability %.*f",
            kind, found["target_rank", None], places, found["target_log_probability", None],
        )  # fmt: skip

    def about(self) -> dict[str, Any]:
        """Return the entry ``spam`` of a run's record.

        Its keys are ``sha256`` (of the attack's file), ``fake_entities`` and ``fake_interactions`` (numbers), and
        ``target_items`` (tokens).
        """
        return {
            "spam": {
                "sha256": self.attack.sha256,
                "fake_entities": len(self.fake()),
                "fake_interactions": self.n_planted,
                "target_items": self.attack.target_items,
            }
        }

    @classmethod
    def wanted(cls, asked: argparse.Namespace) -> bool:
        """Return whether ``--spam`` is given."""
        return bool(asked.spam)

    @classmethod
    def make(cls, asked: argparse.Namespace, source: Source) -> Made:
        """Sample and write an attack for each seed and fraction, and print a summary of each.

        Args:
            asked: the arguments of make_forget_set.py.
            source: the clean data, and the fractions and seeds of the attacks.

        Returns:
            The first attack.

        Raises:
            UserError: a fraction or the number of promoted items is impossible with the data, or files of another
                attack would be overwritten. Nothing is written then.
        """
        from recbole.generators.spam_writer import SpamWriter

        n_targets = source.config["n_target_items"] if asked.n_target_items is None else asked.n_target_items
        writer = SpamWriter(_clean_log(source), source.config["data_path"], source.config["dataset"])
        draws = [(fraction, seed) for seed in source.seeds for fraction in source.fractions]
        for draw in draws:
            writer.check(*draw, n_targets, asked.overwrite)
        clean = writer.clean
        counted = f"{clean.n_profiles:,} {clean.kind}, {clean.n_rows:,} interactions, {len(clean.tokens):,} items"
        print(f"{source.config['dataset']} ({source.task}): {counted} in {source.path}")
        for fraction, seed in draws:
            made = writer.write(fraction, seed, n_targets)
            share = made["fake"] / (made["fake"] + made["real"])
            print(
                f"\nseed {seed}, share {fraction}: {made['fake']:,} fake {clean.kind} ({share:.2%} of all with them), "
                f"{made['rows']:,} interactions with {made['items']:,} items, {made['target_rows']:,} of them with the "
                f"{len(made['targets'])} promoted items\n  promoted: {' '.join(made['targets'])}"
            )
            for path in made["paths"]:
                print(f"  wrote {path}")
        return Made(f"--spam --n_target_items {n_targets}", *draws[0], trains=True)


def _poisoned(clean: Dataset, attack: Attack) -> Dataset:
    """Return the clean data followed by the attack's rows.

    Raises:
        UserError: the rows do not fit the clean data; the message says how to get an attack that does.
    """
    try:
        return clean.with_spam(attack.path)
    except UserError as error:
        raise UserError(f"{error}; {attack.remedy}") from error


def _clean_log(source: Source) -> CleanBaskets | CleanInteractions:
    """Read the clean data that an attack imitates. Only items that pass the run's filters are promoted or fillers."""
    from recbole.generators.imitation import CleanBaskets, CleanInteractions
    from recbole.generators.usual_filters import INTERVALS

    config = source.config
    if source.task == "NBR":
        return CleanBaskets(source.path, config["MIN_NBR_BASKET_COUNT"])
    user, item, rating, time = (config[f"{name}_FIELD"] for name in ("USER_ID", "ITEM_ID", "RATING", "TIME"))
    said = {key: config[key] for key in INTERVALS if config[key] and config.source(key) != "default: overall.yaml"}
    separator = config["field_separator"]
    return CleanInteractions(source.path, source.task, user, item, rating, time, separator, intervals=said)
