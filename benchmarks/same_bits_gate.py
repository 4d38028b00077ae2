"""Make Sets2Sets comparable between revisions that store its whole gate and this checkout, which stores some entries.

Up to results version 1, all entries of the gate [items, items] were drawn from torch's generator before all other
parameters, and CEU and IDEA drew noise for every entry. :func:`start_alike` patches such a revision: it starts from the
same weights as this checkout, and draws noise only for the entries that this checkout stores. :func:`as_entries`
reduces its checkpoints to these entries.

The results of Kookmin and SEIF still differ, since both choose among the stored entries and use their root mean square.
"""

import importlib
import importlib.util
from pathlib import Path

import numpy as np
import torch

KEYED = Path(__file__).resolve().parents[1] / "recbole" / "utils" / "keyed.py"


def start_alike():
    """Patch the imported ``recbole`` if its Sets2Sets stores the whole gate: initial weights and ``torch.randn``."""
    cls = importlib.import_module("recbole.model.next_basket_recommender.sets2sets").Sets2Sets
    if "gate_number" not in cls.entry_tables.values():
        return
    initialise, build, randn = cls._initialise, cls.__init__, torch.randn
    stored = []

    def drawn(model):
        gate = model._parameters.pop("gate_weight")
        initialise(model)  # draws all other parameters
        kept = dict(model._parameters)
        model._parameters.clear()
        model._parameters.update({"gate_weight": gate} | kept)
        gate.data.copy_(gate_at_the_start(model.n_items, model._built_from["seed"]))

    def built(model, config, dataset):
        build(model, config, dataset)
        stored[:] = [(model.gate_weight.shape, pairs(dataset))]

    def noise(*shape, **options):
        for gate, entries in stored:
            if shape == (gate,):
                some = randn(len(entries), **options)
                return some.new_zeros(gate.numel()).index_copy(0, entries, some).view(gate)
        return randn(*shape, **options)

    cls._initialise, cls.__init__, torch.randn = drawn, built, noise


def gate_at_the_start(n_items, seed):
    """Return the initial gate of this checkout, float32 [n_items, n_items], with zeros for the padding item 0."""
    spec = importlib.util.spec_from_file_location("keyed", KEYED)
    keyed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(keyed)
    items = torch.arange(n_items)
    drawn = keyed.uniform(keyed.key(seed, "gate_weight"), items.unsqueeze(1), items)
    gate = (6 / (2 * n_items)) ** 0.5 * (2 * drawn - 1)
    gate[0] = gate[:, 0] = 0.0
    return gate


def pairs(dataset):
    """Return the sorted flat indices, int64, of the gate entries that this checkout stores.

    These are the pairs of items that some user has in the history before the training target.
    """
    log, n, found = dataset.log, dataset.n_items, [np.empty(0, dtype=np.int64)]
    for user in np.unique(log.user):
        items = np.unique(log.item[(log.user == user) & (log.split < 0)]).astype(np.int64)
        found.append((items[:, None] * n + items).ravel())
    return torch.from_numpy(np.unique(np.concatenate(found)))


def as_entries(one, other):
    """Reduce the gate of an earlier checkpoint to the entries that a later checkpoint stores; return both.

    The optimizer's moments of the gate are removed from both, since the earlier optimizer updated them differently.
    Checkpoints without such a gate are returned unchanged.

    Args:
        one, other: contents of the earlier and the later checkpoint.
    """
    was, now = (side.get("state_dict") or {} for side in (one, other))
    if "gate_places" not in now or "gate_places" in was:
        return one, other
    whole = was["gate_weight"].reshape(-1)
    taken = now | was | {"gate_weight": whole[now["gate_places"]]}
    one = one | {"state_dict": {name: taken[name] for name in now}}
    return _without_moments(one), _without_moments(other)


def _without_moments(checkpoint):
    held = checkpoint.get("optimizer")
    if not held:
        return checkpoint
    gate = held["param_groups"][0]["params"][0]
    rest = {number: state for number, state in held["state"].items() if number != gate}
    return checkpoint | {"optimizer": held | {"state": rest}}
