"""A data set of one's own and a model of one's own: train it, compare it with others, and let it forget.

    python examples/own_data_and_model.py

A cell begins with ``# %%``: editors and Jupyter (with jupytext) open this file as a notebook.
"""

# %% A table of purchases, written as an atomic file: the head of a column names it and its type
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.loss import BPRLoss
from recbole.quick_start import run_recbole
from recbole.quick_start.api import load_data
from recbole.trainer import Trainer
from recbole.utils import InputType, init_seed

draw = np.random.default_rng(0)
buyer = np.repeat(np.arange(100), 20)
article = (buyer % 5) * 30 + (40 * draw.random(len(buyer)) ** 2).astype(int)  # five tastes, which overlap
shop = pd.DataFrame({"buyer": buyer, "article": article, "day": draw.integers(0, 365, len(buyer))})
folder = Path("dataset/shop")
folder.mkdir(parents=True, exist_ok=True)
heads = {"buyer": "buyer:token", "article": "article:token", "day": "day:float"}
shop.drop_duplicates(["buyer", "article"]).rename(columns=heads).to_csv(folder / "shop.inter", sep="\t", index=False)

SETTINGS = {
    **{"USER_ID_FIELD": "buyer", "ITEM_ID_FIELD": "article", "TIME_FIELD": "day"},
    **{"load_col": {"inter": ["buyer", "article", "day"]}, "eval_args": {"order": "TO"}},
    **{"epochs": 15, "train_batch_size": 256, "learning_rate": 0.01, "embedding_size": 16},
}


# %% A model: vectors as in BPR, and how popular an article is
class PopularBPR(GeneralRecommender):
    """Inner products of vectors, plus a number for each article."""

    input_type = InputType.PAIRWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.user_embedding = torch.nn.Embedding(self.n_users, config["embedding_size"])
        self.item_embedding = torch.nn.Embedding(self.n_items, config["embedding_size"])
        self.popularity = torch.nn.Embedding(self.n_items, 1)
        self.loss = BPRLoss()
        torch.nn.init.normal_(self.user_embedding.weight, std=0.1)
        torch.nn.init.normal_(self.item_embedding.weight, std=0.1)
        torch.nn.init.zeros_(self.popularity.weight)

    def forward(self, user, item):
        """Return the scores of pairs, [batch]."""
        vectors = self.user_embedding(user) * self.item_embedding(item)
        return vectors.sum(dim=1) + self.popularity(item).squeeze(1)

    def calculate_loss(self, interaction):
        """Return the BPR loss of a batch."""
        user = interaction[self.USER_ID]
        return self.loss(
            self.forward(user, interaction[self.ITEM_ID]), self.forward(user, interaction[self.NEG_ITEM_ID])
        )

    def predict(self, interaction):
        """Return the scores of a batch's pairs."""
        return self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])

    def full_sort_predict(self, interaction):
        """Return the scores of all articles for a batch's buyers, [batch, n_items]."""
        vectors = self.user_embedding(interaction[self.USER_ID])
        return vectors @ self.item_embedding.weight.T + self.popularity.weight.T


# %% Train it step by step
config = Config(model=PopularBPR, dataset="shop", config_dict=SETTINGS)
init_seed(config["seed"], config["reproducibility"])
dataset = create_dataset(config)
train_data, valid_data, test_data = data_preparation(config, dataset)
trainer = Trainer(config, PopularBPR(config, train_data.dataset).to(config["device"]))
trainer.fit(train_data, valid_data, saved=False)

# %% Beside models that come with the package
results = {"PopularBPR": trainer.evaluate(test_data)}
for name in ("Pop", "BPR"):
    results[name] = run_recbole(name, "shop", config_dict=SETTINGS, saved=False)["test_result"]
print(pd.DataFrame(results).T[["recall@10", "ndcg@10"]])

# %% Let it forget two buyers
bench = load_data(PopularBPR, "shop", **SETTINGS)
rows = bench.rows(users=["3", "4"])
base, retrained = bench.train(), bench.train(without=rows)
table = bench.evaluate(rows, base=base, retrained=retrained, scif=bench.forget(base, rows, "scif"))
known = table[table.minus.isna() & (table.metric == "forgotten_log_odds") & (table.split == "train")]
print(known.set_index("model")["value"].round(3).to_string())
