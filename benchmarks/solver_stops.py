"""When can the iterative solver of an algorithm stop? Handle the same requests with several stopping thresholds.

    python benchmarks/solver_stops.py 5e-4 1e-2 -- --model GRU4Rec --dataset diginetica_sample \
        --config_files configs/config_gru4rec.yaml --sensitive_category middling --unlearning_fraction 0.002

The arguments after ``--`` are a command line of `unlearn.py`; the algorithm is SCIF unless ``--unlearning_algorithm``
is CEU or IDEA. The base and, if it exists, the model retrained for the last checkpoint are read from ``saved/``;
nothing is written. For each threshold of progress (see `recbole/unlearning/influence.py`) the algorithm handles all
requests, starting from a fresh copy of the base. The table shows, after the last request: Hessian-vector products and
CPU seconds per request, mean log-odds of the forgotten pairs, NDCG@10 of all users, the Jensen-Shannon divergence from
the retrained model for users without a request, and the mean gradient residual that the certificates use.
"""

import logging
import math
import sys
import time
from statistics import mean

import torch

from recbole.evaluator import EvalSettings, evaluate, find_metric, get_probe
from recbole.evaluator.asked import Asked
from recbole.evaluator.probes.forgotten import pair_scores
from recbole.quick_start.command_line import unlearn_arguments
from recbole.quick_start.main import configured
from recbole.quick_start.setup import begin
from recbole.quick_start.unlearning import _base
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer.learn import load
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm
from recbole.unlearning.schedule import LAST
from recbole.utils import UserError

HEADINGS = ("progress", "products", "CPU s", "forgotten log-odds", "NDCG@10", "JS others", "residual")


class Subject:
    """A base model, its unlearning requests, and the evaluation after the last request.

    Args:
        argv: command-line arguments of `unlearn.py`.

    Attributes:
        config, setup: configuration, and data and requests of the run.
        stored: checkpoint of the base model.
        retrained: model retrained for the last checkpoint, or None if its file does not exist.
        view, settings: evaluation data and metrics.
    """

    def __init__(self, argv: list[str]) -> None:
        namespace, overrides = unlearn_arguments(["--unlearning_algorithm", "scif", *argv, "--show_progress", "False"])
        self.config = configured(namespace, overrides)
        scenario = scenario_of(self.config)
        self.stored = _base(self.config, scenario)
        self.setup = begin(self.config, scenario, forgetting=True)
        retrained = self.setup.retrained(LAST)
        self.retrained = load(self.setup, retrained) if retrained.file.exists() else None
        self.view = self.setup.view(retrained)
        self.settings = EvalSettings((find_metric("NDCG"),), (10,), self.config["eval_batch_size"])

    def base(self):
        """Return a fresh copy of the base model."""
        return load(self.setup, self.setup.base(), self.stored)

    def forget(self, progress: float):
        """Unlearn all requests from a fresh copy of the base.

        Args:
            progress: threshold at which the solver stops.

        Returns:
            ``(model, products, seconds, residual)``: the unlearned model, and means over the requests that were not
            skipped: Hessian-vector products, CPU seconds, and gradient residual (NaN if not measured).
        """
        model, state = self.base(), self.setup.base()
        algorithm = get_algorithm(self.config["unlearning_algorithm"])(self.config, model, state.data)
        algorithm.progress = progress
        products, seconds, residuals, deadline = [], [], [], Pipeline(algorithm, self.setup.asked).deadline
        for request in self.setup.asked:
            began = time.process_time()
            outcome = algorithm.forget([request], deadline)
            if outcome.status != "skipped":
                seconds.append(time.process_time() - began)
                work = outcome.work or {}
                products.append(work.get("n_hvp", 0))
                residuals.append(work.get("certificate", {}).get("gradient_residual", math.nan))
        return model, mean(products or [0]), mean(seconds or [0.0]), mean(residuals or [math.nan])

    def told(self, model) -> list[str]:
        """Evaluate a model; return the texts of its log-odds, NDCG@10 and divergence."""
        asked = Asked.of(model)
        reference = None if self.retrained is None else (self.retrained, "retrained")
        probes = [get_probe(name)() for name in ("utility", "distance")]
        rows = evaluate(asked, self.view, self.settings, probes, reference)
        found = {
            row["metric"]: row["value"]
            for row in rows
            if row["minus"] is None
            and (row["metric"], row["population"], row["view"])
            in {("ndcg", "all", "current"), ("js_divergence", "others", "current")}
        }
        log_odds = pair_scores(asked, self.view)["forgotten_log_odds", None].mean()
        return [
            f"{log_odds:.3f}",
            f"{found['ndcg']:.4f}",
            f"{found.get('js_divergence', float('nan')):.5f}",
        ]


def main(argv: list[str]) -> int:
    """Print the table; return the exit status: 2 if the arguments are wrong."""
    if "--" not in argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    at = argv.index("--")
    logging.getLogger("recbole").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    try:
        shares, subject = [float(share) for share in argv[:at]], Subject(argv[at + 1 :])
    except (UserError, ValueError) as error:
        print(f"solver_stops.py: {error}", file=sys.stderr)
        return 2
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
    print(f"| base | | | {' | '.join(subject.told(subject.base()))} | |")
    for share in shares:
        model, products, seconds, residual = subject.forget(share)
        cells = [f"{share:g}", f"{products:.0f}", f"{seconds:.2f}", *subject.told(model), f"{residual:.3g}"]
        print(f"| {' | '.join(cells)} |", flush=True)
    if subject.retrained is not None:
        print(f"| retrained | | | {' | '.join(subject.told(subject.retrained))} | |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
