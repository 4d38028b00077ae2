"""How is the training time of next-basket models distributed over the phases of a training step?

    python benchmarks/basket_epochs.py --data dataset/tafeng --out results/basket_epochs.json

Runs ``--steps`` training steps with the model's configuration in ``configs/`` (ERASE's batch size: 1 for Sets2Sets, 64
for DNNTSP) on the CPU with one thread, and measures the time of each phase: collating the batch, forward, backward, and
optimizer. Five warm-up steps before them are not counted. The time of an epoch is estimated as the mean time of a step
times the number of batches. ``Sets2Sets`` trains with the default optimizer Adam, which updates all stored entries of
the item-by-item gate in each step. ``Sets2Sets+lazy`` uses ``learner: sparse_adam``, which is a different training
method. ``--profile`` prints PyTorch's table of operators.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch.profiler import ProfilerActivity, profile

from recbole.config import Config
from recbole.data import TrainBatches, create_dataset
from recbole.model import get_model
from recbole.trainer import make_optimizer
from recbole.utils import torch_seed, write_json

ROOT = Path(__file__).resolve().parents[1]
PHASES = ("collate", "forward", "backward", "optimizer")
CASES = {
    "DNNTSP": ("DNNTSP", "adam", 5),
    "Sets2Sets": ("Sets2Sets", "adam", 5),
    "Sets2Sets+lazy": ("Sets2Sets", "sparse_adam", 5),
}
"""Name of the case to (model, learner, number of warm-up steps)."""


def parse_args():
    """Return the command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder NAME that contains NAME_merged.json")
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES), help="run only these (default: all)")
    parser.add_argument("--steps", type=int, default=100, help="training steps to measure (default: 100)")
    parser.add_argument("--profile", action="store_true", help="print PyTorch's table of operators")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args()


class Laps:
    """A stopwatch that adds up the wall seconds spent in each phase of a training step."""

    def __init__(self):
        self.seconds, self.last = dict.fromkeys(PHASES, 0.0), time.perf_counter()

    def lap(self, phase):
        """Add the time since the last call to a phase."""
        now = time.perf_counter()
        self.seconds[phase] += now - self.last
        self.last = now


def prepare(args, case):
    """Return the model, its optimizer and its training batches for a case."""
    name, learner, _ = CASES[case]
    settings = {"data_path": str(args.data.resolve().parent), "use_gpu": False, "seed": 2, "learner": learner}
    config = Config(name, args.data.name, [str(ROOT / "configs" / f"config_{name.lower()}.yaml")], settings)
    config.bind_model(get_model(name))
    torch.manual_seed(torch_seed(2, "initialise"))
    dataset = create_dataset(config, get_model(name).type)
    model = get_model(name)(config, dataset)
    return model, make_optimizer(config, model), TrainBatches(config, dataset, model.input_type)


def run(model, optimizer, batches, steps):
    """Run training steps on the next batches of an iterator; return the total seconds by phase."""
    laps = Laps()
    for _ in range(steps):
        batch = next(batches)
        laps.lap("collate")
        optimizer.zero_grad(set_to_none=True)
        loss = model.calculate_loss(batch)
        laps.lap("forward")
        loss.backward()
        laps.lap("backward")
        optimizer.step()
        laps.lap("optimizer")
    return laps.seconds


def measure(args, case):
    """Measure a case and return a dictionary with its times and memory. With ``--profile`` print the operators."""
    model, optimizer, loader = prepare(args, case)
    model.train()
    warm_up = CASES[case][2]
    steps = min(args.steps, len(loader) - warm_up)
    batches = loader.epoch(0)
    run(model, optimizer, batches, warm_up)
    if args.profile:
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            run(model, optimizer, loader.epoch(1), min(steps, 20))
        print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=15))
    seconds = run(model, optimizer, batches, steps)
    step = sum(seconds.values()) / steps
    return {
        "case": case,
        "learner": CASES[case][1],
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": steps,
        "batches_per_epoch": len(loader),
        "step_ms": {phase: 1000 * seconds[phase] / steps for phase in PHASES} | {"all": 1000 * step},
        "epoch_seconds": step * len(loader),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main():
    """Measure every selected case, print a table, and write the JSON file."""
    args = parse_args()
    torch.set_num_threads(1)
    print(f"{'case':<18}{'step, ms':>10}" + "".join(f"{p:>11}" for p in PHASES) + f"{'batches':>9}{'epoch, s':>10}")
    found = []
    for case in args.case:
        found.append(one := measure(args, case))
        laps = one["step_ms"]
        columns = "".join(f"{laps[p]:>11.2f}" for p in PHASES)
        print(f"{case:<18}{laps['all']:>10.2f}{columns}{one['batches_per_epoch']:>9}{one['epoch_seconds']:>10.0f}")
    print(f"epoch: the mean of {args.steps} steps times the batches of an epoch; peak memory of the process:", end=" ")
    print(f"{found[-1]['peak_mib']:.0f} MiB")
    if args.out:
        write_json(args.out, {"steps": args.steps, "torch": torch.__version__, "cases": found})


if __name__ == "__main__":
    main()
