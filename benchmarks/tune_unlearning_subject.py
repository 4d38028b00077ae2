"""Training, unlearning and evaluation for `tune_unlearning.py`: base, retrained model and trials of candidates."""

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
"""A request may take this many wall-clock seconds for each CPU second that its trial has left."""


def first(requests, count):
    """Return the first `count` requests; None: all of them."""
    count = len(requests) if count is None else min(count, len(requests))
    stop = requests.offsets[count]
    return Requests(
        requests.entities[:count], requests.rows[:stop], requests.offsets[: count + 1], requests.known[:count],
        requests.unknown_pairs, requests.sha256,
    )  # fmt: skip


def stored(setup, state):
    """Return the checkpoint of a model; train it if its file does not exist, and write the cost next to it.

    Args:
        setup: setup of the run, with configuration and data.
        state: the model's state, with its training data and the path of its file.

    Returns:
        A :class:`~recbole.trainer.stored.Stored`.

    Raises:
        UserError: the existing file was trained with other settings, or the training diverged.
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
        raise UserError(f"{state.file} has other settings ({told(differing)}); delete it, or use another --work folder")
    return found


class Subject:
    """A base model, its unlearning requests, the model retrained without the requested rows, and their evaluation.

    Args:
        config: :class:`~recbole.config.Config` of data, training and forget set.
        count: number of requests, taken from the start; None: all.
        base, retrained: paths of the two checkpoints; the models are trained if these do not exist.

    Raises:
        UserError: files or settings are invalid, or a training diverged.
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
        """Return the scores of ``base`` and ``retrained``, a dictionary of two :meth:`scores`.

        A base model with state derived from data, such as a graph, is first rebuilt without the requested rows.
        """
        base = self.base()
        if base.rebuild_changes_scores:
            base.rebuild(self.after.data)
        return {"base": self.scores(base), "retrained": self.scores(self.retrained)}

    def scores(self, model):
        """Evaluate a model.

        Returns:
            A dictionary: ``log_odds`` and ``people``, lists with the log-odds and the user id of each forgotten pair
            that was trained on; ``utility``, NDCG@10 on the validation rows; ``divergence``, the Jensen-Shannon
            divergence from the retrained model for users without a request.
        """
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
        """Unlearn all requests from a fresh copy of the base, and evaluate the result.

        Args:
            algorithm: name of the unlearning algorithm.
            values: dictionary of hyper-parameters; all others have their defaults.
            limit: CPU seconds after which no further request starts.

        Returns:
            A dictionary: ``complete`` (all requests were handled), ``limit``, ``cpu_seconds``, ``requests`` (their
            number), ``outcomes`` (status to number of requests), and if complete the :meth:`scores`.
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
