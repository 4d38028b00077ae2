"""The measurements of `gpu.py` on generated data: training steps, unlearning requests, and graph propagation."""

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from recbole.config import Config
from recbole.config.layers import PROPERTIES
from recbole.data import TrainBatches, create_dataset
from recbole.data.atomic import write_atomic
from recbole.data.split import TRAIN
from recbole.model import get_model
from recbole.trainer import make_optimizer
from recbole.unlearning.registry import ERASE_ALGORITHMS, get_algorithm, hyper_parameters
from recbole.unlearning.request import Request
from recbole.utils import ModelType, init_seed
from recbole.utils.deadline import Deadline
from recbole.utils.device import now, peak_memory

MODELS = sorted(path.stem for path in (PROPERTIES / "model").glob("*.yaml"))
FORGETTING = ("BPR", "LightGCN", "GRU4Rec", "SASRec", "DNNTSP")
PAIRS = [(name, model) for name in ERASE_ALGORITHMS for model in FORGETTING]
ROWS = {"tiny": 2_000, "full": 100_000}
"""Number of generated interactions for each task, by size."""

STEPS = {"tiny": 2, "full": 10}
"""Number of training batches from which the time of an epoch is estimated, by size."""

TRAINED = {"tiny": 2, "full": 20}
"""Number of training batches before the unlearning requests, by size."""


class Data:
    """Synthetic data for the three tasks, in a temporary folder; the popularity of items follows Zipf's law."""

    def __init__(self, size):
        self.size, self.tasks, self.states = size, {}, {}
        self.folder = tempfile.TemporaryDirectory(prefix="erase-gpu-")

    def of(self, model):
        """Return a new configuration for a model, and the data set of the model's task with no row forgotten."""
        task = get_model(model).type
        task = ModelType.GENERAL if task is ModelType.TRADITIONAL else task
        if task not in self.tasks:
            per_user = 6 if task is ModelType.SEQUENTIAL else 40
            self._write(Path(self.folder.name) / task.name, task, per_user)
            self.tasks[task] = create_dataset(self._config(model, task), task)
        config, read = self._config(model, task), self.tasks[task]
        return config, type(read)(config, read.log, np.zeros(len(read.log), dtype=bool))

    def prepare(self):
        """Generate and read the data of every task."""
        for model in ("BPR", "GRU4Rec", "DNNTSP"):
            self.of(model)

    def trained(self, model, device):
        """Return the parameters of a model (name to tensor on the CPU) after a few training batches.

        The model is trained on the device of the first call; later calls return the same parameters.
        """
        if model not in self.states:
            config, dataset, fresh = built(self, model, device)
            steps(config, dataset, fresh, TRAINED[self.size])
            self.states[model] = {name: tensor.cpu() for name, tensor in fresh.state_dict().items()}
        return self.states[model]

    def _config(self, model, task):
        """Return the configuration for a model on the generated data of its task."""
        settings = {
            "data_path": str(Path(self.folder.name) / task.name),
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "eval_args": {"order": "TO"},
            "use_gpu": False, "show_progress": False, "tensorboard": False,
        }  # fmt: skip
        config = Config(model, "synthetic", config_dict=settings)
        config.bind_model(get_model(model))
        return config

    def _write(self, folder, task, per_user):
        """Generate the data set ``synthetic`` of a task in a folder, with `per_user` interactions for each user."""
        n_rows = ROWS[self.size]
        n_users, n_items = n_rows // per_user, max(n_rows // 50, 50)
        draw = np.random.default_rng(2)
        share = np.cumsum(1 / np.arange(1, n_items + 1))
        items = 1 + np.searchsorted(share, draw.random(n_rows) * share[-1])
        users = np.arange(n_rows) % n_users
        if task is ModelType.NEXT_BASKET:
            order = np.argsort(users, kind="stable").reshape(n_users, per_user // 4, 4)
            baskets = {str(user): items[order[user]].tolist() for user in range(n_users)}
            baskets = {user: [sorted(set(basket)) for basket in all_] for user, all_ in baskets.items()}
            (folder / "synthetic").mkdir(parents=True)
            (folder / "synthetic" / "synthetic_merged.json").write_text(json.dumps(baskets))
            return
        columns = {"user_id": users, "item_id": items, "timestamp": np.arange(n_rows)}
        kinds = {"user_id": "token", "item_id": "token", "timestamp": "float"}
        write_atomic(folder / "synthetic" / "synthetic.inter", columns, kinds)


def built(data, name, device, strict=False):
    """Return the configuration, the data set, and a new model on a device, initialised from the same seed on each.

    With ``strict`` operators without a deterministic implementation raise an error; otherwise PyTorch only warns.
    """
    config, dataset = data.of(name)
    config["device"] = torch.device(device)
    init_seed(config["seed"], True, device)
    if strict:
        torch.use_deterministic_algorithms(True)
    return config, dataset, get_model(name)(config, dataset).to(device)


def steps(config, dataset, model, n_steps):
    """Train for some batches and measure them; two batches before them are not counted.

    Returns:
        ``(seconds per batch, number of batches in an epoch)``. If an epoch has fewer batches, all of them are used.
    """
    batches, device = TrainBatches(config, dataset, model.input_type), config["device"]
    optimizer, seconds = make_optimizer(config, model), []
    model.train()
    for epoch in range(model.warm_up_epochs + 1):
        model.begin_epoch(epoch, dataset)
        started = now(device)
        for at, batch in enumerate(batches.epoch(epoch)):
            if at == n_steps + 2:
                break
            optimizer.zero_grad(set_to_none=True)
            loss = model.calculate_loss(batch.to(device))
            loss = sum(loss) if isinstance(loss, tuple) else loss
            loss.backward()
            optimizer.step()
            ended = now(device)
            seconds, started = [*seconds, ended - started], ended
    return sum(seconds[-n_steps:]) / len(seconds[-n_steps:]), len(batches)


def of_model(found, data, name, device, strict=False):
    """Measure a model and store the results in the dictionary `found`.

    These are the seconds for building the model, for an epoch (estimated from some batches), and for scoring all items
    in 1,000 test rows, and the peak memory.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began = now(device)
    config, dataset, model = built(data, name, device, strict)
    found["build_seconds"] = now(device) - began
    if model.trainable:
        seconds, n_batches = steps(config, dataset, model, STEPS[data.size])
        found |= peak_memory(device) | {
            "batch_seconds": seconds,
            "epoch_batches": n_batches,
            "epoch_seconds": seconds * n_batches,
        }
    inputs = dataset.eval_rows("test").inputs[:1000].to(device)
    model.eval()
    with torch.no_grad():
        model.full_sort_predict(inputs[:2])
        began = now(device)
        model.full_sort_predict(inputs)
    found["thousand_questions_seconds"] = (now(device) - began) * 1000 / len(inputs)
    found |= peak_memory(device)


def of_algorithm(found, data, pair, device, strict=False):
    """Measure two unlearning requests on a model trained for a few batches, and store the results in `found`.

    The first request warms up (``first_request_seconds``). The other keys describe the second: ``request_seconds``,
    ``status``, ``relative_change``, which should agree between devices to a few digits, and peak memory.

    Args:
        found: dictionary for the results.
        data: the generated :class:`Data`.
        pair: (algorithm, model).
        device: where it runs, such as ``cuda:0``.
        strict: whether operators without a deterministic implementation raise an error.
    """
    name, model_name = pair
    state = data.trained(model_name, device)
    config, dataset, model = built(data, model_name, device, strict)
    model.load_state_dict(state)
    for parameter in hyper_parameters():
        config[parameter.name] = parameter.default
    algorithm = get_algorithm(name)(config, model, dataset)
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for at, user in enumerate((5, 6)):
        rows = dataset.log.rows_of([user])
        rows = rows[dataset.log.split[rows] == TRAIN][:2]
        began = now(device)
        outcome = algorithm.forget([Request(at, str(user), rows)], Deadline())
        found["request_seconds" if at else "first_request_seconds"] = now(device) - began
        found |= {"status": outcome.status, "relative_change": outcome.relative_change} | peak_memory(device)
        if outcome.reason:
            found["reason"] = outcome.reason


EDGES = {"tiny": 2_000, "full": 1_000_000}
WAYS = ("torch CSR", "torch_geometric LGConv")


def of_propagation(found, size, way, device):
    """Measure a forward and backward pass of graph propagation with embeddings of size 64.

    Stores in `found` the mean ``seconds`` of ten passes (after three warm-up passes), and the numbers of ``edges`` and
    ``nodes``.

    Args:
        found: dictionary for the results.
        size: ``tiny`` or ``full``.
        way: the implementation, one of `WAYS`.
        device: where it runs, such as ``cuda:0``.
    """
    n_edges = EDGES[size]
    n_nodes = n_edges // 20
    draw = torch.Generator().manual_seed(2)
    ends = torch.randint(n_nodes, (2, n_edges), generator=draw)
    numbers = torch.unique(torch.cat([ends[0] * n_nodes + ends[1], ends[1] * n_nodes + ends[0]]))
    ends = torch.stack([numbers // n_nodes, numbers % n_nodes]).to(device)
    nodes = torch.randn(n_nodes, 64, generator=draw).to(device).requires_grad_()
    step = _csr(ends, n_nodes) if way == WAYS[0] else _convolution(ends)
    seconds = []
    for _ in range(13):
        began = now(device)
        step(nodes).sum().backward()
        seconds.append(now(device) - began)
    found |= {"seconds": sum(seconds[3:]) / 10, "edges": ends.shape[1], "nodes": n_nodes}


def _csr(ends, n_nodes):
    """Return a function that propagates node embeddings by torch's CSR product; `ends` is int64 [2, edges]."""
    from recbole.model.graph import propagate

    counts = torch.bincount(ends[0], minlength=n_nodes)
    degrees = counts.clamp_min(1).float()
    values = (degrees[ends[0]] * degrees[ends[1]]).rsqrt()
    pointers = torch.cat([degrees.new_zeros(1, dtype=torch.int64), counts.cumsum(0)])
    with warnings.catch_warnings(action="ignore"):  # torch warns that sparse CSR tensors are in beta
        matrix = torch.sparse_csr_tensor(pointers, ends[1], values, (n_nodes, n_nodes), check_invariants=False)
    return lambda nodes: propagate(matrix, nodes)


def _convolution(ends):
    """Return a function that propagates node embeddings by torch_geometric's LGConv; `ends` is int64 [2, edges]."""
    from torch_geometric.nn import LGConv

    layer = LGConv()
    return lambda nodes: layer(nodes, ends)
