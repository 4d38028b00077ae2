"""Sets2Sets of revisions that store its whole gate, made comparable with the one that stores entries of it.

Up to results version 1 every entry of the gate, items x items, was drawn from torch's generator, before all other
parameters, and noise was drawn for every entry. :func:`start_alike` lets such a revision begin with the weights that
this checkout begins with, and draw no noise where nothing is stored; :func:`as_entries` takes of its gate what this
checkout stores.

What Kookmin and SEIF do to the gate stays another thing: they choose among the entries that are stored, and take the
root mean square of these.
"""

import importlib
import importlib.util
from pathlib import Path

import numpy as np
import torch

KEYED = Path(__file__).resolve().parents[1] / "recbole" / "utils" / "keyed.py"


def start_alike():
    """Patch Sets2Sets of the ``recbole`` on the path where it stores the whole gate; the noise of CEU and IDEA too."""
    cls = importlib.import_module("recbole.model.next_basket_recommender.sets2sets").Sets2Sets
    if "gate_number" not in cls.entry_tables.values():
        return
    initialise, build, randn = cls._initialise, cls.__init__, torch.randn
    stored = []

    def drawn(model):
        gate = model._parameters.pop("gate_weight")
        initialise(model)  # draws the others
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
    """Return the whole gate as this checkout draws it; zeros for padding, which is never read."""
    spec = importlib.util.spec_from_file_location("keyed", KEYED)
    keyed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(keyed)
    items = torch.arange(n_items)
    drawn = keyed.uniform(keyed.key(seed, "gate_weight"), items.unsqueeze(1), items)
    gate = (6 / (2 * n_items)) ** 0.5 * (2 * drawn - 1)
    gate[0] = gate[:, 0] = 0.0
    return gate


def pairs(dataset):
    """Return the places in the flat gate of all pairs of items that somebody had before the training target."""
    log, n, found = dataset.log, dataset.n_items, [np.empty(0, dtype=np.int64)]
    for user in np.unique(log.user):
        items = np.unique(log.item[(log.user == user) & (log.split < 0)]).astype(np.int64)
        found.append((items[:, None] * n + items).ravel())
    return torch.from_numpy(np.unique(np.concatenate(found)))


def as_entries(one, other):
    """Return an earlier checkpoint with a whole gate as one that stores the entries that the ``other`` stores.

    Moments of the gate are left out on both sides: the earlier optimizer kept those of an entry's last gradient.

    Args:
        one, other: the earlier checkpoint and the later.
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
