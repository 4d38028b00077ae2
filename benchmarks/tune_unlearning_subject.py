"""What `tune_unlearning.py` does with a model: train it and its retrained twin, unlearn, and ask each the same."""

import time
from collections import Counter
from dataclasses import replace

import numpy as np

from recbole.config.identity import told
from recbole.evaluator import Asked, EvalSettings, evaluate, find_metric, get_probe, mean_utility
from recbole.evaluator.probes.forgotten import pair_scores
from recbole.quick_start.setup import begin
from recbole.report.columns import JS_OTHERS, only_value
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer.learn import learn, load
from recbole.trainer.stored import Stored
from recbole.unlearning.registry import get_algorithm, hyper_parameters
from recbole.unlearning.request import Requests
from recbole.unlearning.schedule import LAST
from recbole.utils import UserError
from recbole.utils.deadline import Deadline
from recbole.utils.files import write_json

K = 10
PATIENCE = 3
"""A request is cut off after so many times the seconds that are left of its trial, by the clock."""


def first(requests, count):
    """Return the first requests, in their order; all of them where the count is None."""
    count = len(requests) if count is None else min(count, len(requests))
    stop = requests.offsets[count]
    return Requests(
        requests.entities[:count], requests.rows[:stop], requests.offsets[: count + 1], requests.known[:count],
        requests.unknown_pairs, requests.sha256,
    )  # fmt: skip


def stored(setup, state):
    """Return a trained model's file; it is trained if it is not there, and its cost written beside it.

    Raises:
        UserError: the file is of other settings, or training diverged.
    """
    beside = state.file.with_suffix(".json")
    if not beside.exists():
        state.file.parent.mkdir(parents=True, exist_ok=True)
        learned = learn(setup, state)
        write_json(beside, {"kind": state.kind, "cpu_seconds": learned.timing["fit_cpu_seconds"]})
        print(f"{learned.timing['fit_cpu_seconds']:6.0f} s  {state.file.stem}", flush=True)
    found = Stored.read(state.file)
    differing = found.differences(setup.identity(state))
    if differing:
        raise UserError(f"{state.file} was made by other settings ({told(differing)}); delete it, or change --work")
    return found


class Subject:
    """A base model, the requests against it, the model retrained without them, and what all models are asked.

    Args:
        config: :class:`~recbole.config.Config` of data, training and forget set.
        count: of how many requests, the first in their order; None for all.
        base, retrained: where the two models are, or are put when they are trained.

    Raises:
        UserError: for anything in files or settings that cannot be.
    """

    def __init__(self, config, count, base, retrained):
        setup = begin(config, scenario_of(config), forgetting=True)
        self.setup = setup = replace(setup, requests=first(setup.asked, count))
        self.before, self.after = replace(setup.base(), path=base), replace(setup.retrained(LAST), path=retrained)
        self.base_file = stored(setup, self.before)
        self.retrained = Asked(load(setup, self.after, stored(setup, self.after)))
        self.view = setup.view(self.after)
        self.valid = self.after.data.eval_rows("valid")
        self.settings = EvalSettings((find_metric("NDCG"),), (K,), setup.config["eval_batch_size"])

    def base(self):
        """Return a fresh copy of the base model."""
        return load(self.setup, self.before, self.base_file)

    def references(self):
        """Return what base and retrained model score; a base that derives something from data is rebuilt."""
        base = self.base()
        if base.rebuild_changes_scores:
            base.rebuild(self.after.data)
        return {"base": self.scores(base), "retrained": self.scores(self.retrained)}

    def scores(self, model):
        """Return log-odds and person of each forgotten pair that was trained on, NDCG@10 and divergence of others."""
        asked, view = Asked.of(model), self.view
        person = np.repeat(view.shown.entity, view.forgotten.sizes())
        odds = pair_scores(asked, view)["forgotten_log_odds", None]
        rows = evaluate(asked, view, self.settings, [get_probe("distance")()], (self.retrained, "retrained"))
        asking = {"metrics": ["NDCG"], "topk": [K], "eval_batch_size": self.settings.batch_size}
        return {
            "log_odds": odds[view.trained].tolist(),
            "people": person[view.trained].tolist(),
            "utility": mean_utility(asked, self.valid, asking)[f"ndcg@{K}"],
            "divergence": only_value(rows, JS_OTHERS),
        }

    def tried(self, algorithm, values, limit):
        """Return what becomes of the base model when an algorithm with some values is put all requests.

        Args:
            algorithm: its name.
            values: of hyper-parameters; the others have their defaults.
            limit: CPU seconds.
        """
        config, requests = self.setup.config, self.setup.asked
        for one in hyper_parameters([algorithm]):
            config[one.name] = values.get(one.name, one.default)
        model, outcomes = self.base(), Counter()
        unlearning = get_algorithm(algorithm)(config, model, self.before.data)
        began, spent = time.process_time(), 0.0
        for request in requests:
            if spent >= limit:
                break
            outcomes[unlearning.forget([request], Deadline(PATIENCE * (limit - spent))).status] += 1
            spent = time.process_time() - began
        complete = outcomes.total() == len(requests)
        found = {"complete": complete, "limit": limit, "cpu_seconds": spent, "requests": len(requests)}
        found["outcomes"] = dict(outcomes)
        if not complete:
            return found
        released = unlearning.release(LAST)
        model.load_state_dict(released["state_dict"])
        model.load_other_parameter(released["other_parameter"])
        return found | self.scores(model)
