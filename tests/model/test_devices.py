"""Every model on the fake GPU: it never mixes devices, and gives the CPU's results."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_device import fake_device

from recbole.config.layers import PROPERTIES
from recbole.data import TrainBatches, create_dataset
from recbole.model import get_model
from recbole.trainer import make_optimizer
from recbole.unlearning.second_order.curvature import HessianProduct, Subspace, second_order
from recbole.utils import ModelType, init_seed

MODELS = sorted(path.stem for path in (PROPERTIES / "model").glob("*.yaml"))
SMALL = {
    **{"embedding_size": 4, "hidden_size": 6, "inner_size": 8, "n_layers": 2, "n_heads": 2, "num_layers": 1},
    **{"mf_embedding_size": 4, "mlp_embedding_size": 4, "mlp_hidden_size": [4], "train_batch_size": 32},
    **{"teacher_epochs": 1, "soft_samples": 50, "n_intents": 3, "MAX_NBR_HISTORY_BASKETS": 7},
}


@pytest.fixture(scope="module")
def data_of(tmp_path_factory, config, sessions, small_dataset):
    """A function: ``data_of(model)`` returns a data set of the model's task."""
    folder = tmp_path_factory.mktemp("baskets")
    walks = {user: [(7 * user + 3 * at + at * at % 5) % 39 + 1 for at in range(4 + user % 9)] for user in range(24)}
    (folder / "small").mkdir()
    baskets = {user: [walk[at : at + 2] for at in range(len(walk) - 1)] for user, walk in walks.items()}
    (folder / "small/small_merged.json").write_text(json.dumps(baskets))

    def made(name):
        cls = get_model(name)
        if cls.type is ModelType.SEQUENTIAL:
            return sessions(list(walks.values()), model=name, **SMALL)
        where = folder if cls.type is ModelType.NEXT_BASKET else Path(small_dataset.config["data_path"]).parent
        conf = config(where, model=name, **SMALL)
        conf.bind_model(cls)
        return create_dataset(conf, cls.type)

    return made


def numbers_of(name, data, device):
    """Return the results of a model for a batch and for evaluation rows, CPU tensors in a fixed order."""
    config = data.config
    config["device"] = torch.device(device)
    init_seed(config["seed"])
    model = get_model(name)(config, data).to(device)
    found, asked = [], data.eval_rows("test").inputs[:5].to(device)
    if model.trainable:
        found += steps(config, model, next(TrainBatches(config, data, model.input_type).epoch(0)).to(device))
    model.rebuild(data.masked(np.arange(len(data.log)) % 7 == 0))
    model.eval()
    with torch.no_grad():
        scores = model.full_sort_predict(asked).view(5, -1)
        asked.update(type(asked)({data.iid_field: torch.arange(1, 6, device=device)}))
        found += [scores, model.predict(asked)]
    assert all(tensor.device.type == torch.device(device).type for tensor in found)
    return [tensor.detach().cpu() for tensor in found]


def steps(config, model, batch):
    """Return a Hessian-vector product, and the parameters after a step in each of the epochs that differ."""
    with second_order(model):
        space = Subspace(model, batches=[batch])
        found = [HessianProduct(space, [batch])(torch.ones_like(space.vector()))]
    optimizer = make_optimizer(config, model)
    for epoch in range(model.warm_up_epochs + 1):
        torch.manual_seed(epoch)
        model.train()
        model.begin_epoch(epoch, None)
        optimizer.zero_grad(set_to_none=True)
        loss = model.calculate_loss(batch)
        loss = sum(loss) if isinstance(loss, tuple) else loss
        loss.backward()
        optimizer.step()
        found += [loss, *(p.clone() for p in model.parameters())]
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_model_stays_on_its_device(name, data_of):
    """Loss, derivatives, an optimizer step, and scores of a rebuilt model equal the CPU's up to rounding."""
    data = data_of(name)
    on_cpu = numbers_of(name, data, "cpu")
    with fake_device() as device:
        on_device = numbers_of(name, data, device)
    assert len(on_device) == len(on_cpu) > 1
    torch.testing.assert_close(on_device, on_cpu, rtol=1e-4, atol=1e-4)
