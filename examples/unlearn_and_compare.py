"""Train on MovieLens 100K, forget some ratings by several algorithms, and compare with a model retrained without them.

    python dataset/ml-100k/prepare.py
    python examples/unlearn_and_compare.py

A cell begins with ``# %%``: editors and Jupyter (with jupytext) open this file as a notebook.
"""

# %% Train, choose what is to be forgotten, and retrain without it
from pathlib import Path

import pandas as pd

from recbole.quick_start import unlearn_recbole
from recbole.quick_start.api import load_data

USERS, FILMS = ["1", "2", "13"], [str(number) for number in range(1, 41)]
bench = load_data("BPR", "ml-100k", epochs=20)
rows = bench.rows(users=USERS, items=FILMS)
models = {"base": bench.train(), "retrained": bench.train(without=rows)}

# %% Forget, by three algorithms; the base model stays as it is
for algorithm in ("finetune", "kookmin", "scif"):
    models[algorithm] = bench.forget(models["base"], rows, algorithm)
    print(algorithm, [outcome.status for outcome in bench.outcome])

# %% Compare: is it as good, and does it know as little of what was forgotten, as the retrained one?
table = bench.evaluate(rows, **models)
table = table[table.minus.isna()]
good = table[(table.metric == "ndcg") & (table.k == 10) & (table.split == "test") & (table.masking == "retained")]
print(good[good.view == "current"].pivot(index="model", columns="population", values="value").round(4))
known = table[(table.metric == "forgotten_log_odds") & (table.split == "train")]
print(known.set_index("model")["value"].round(3).to_string())

# %% The same request as a file, to the programs' own pipeline, which keeps checkpoints and writes a record
log = pd.read_csv("dataset/ml-100k/ml-100k.inter", sep="\t", dtype=str)
asked = Path("saved/forget_set.inter")
asked.parent.mkdir(exist_ok=True)
chosen = log["user_id:token"].isin(USERS) & log["item_id:token"].isin(FILMS)
log[chosen].iloc[:, :2].to_csv(asked, sep="\t", index=False)
request = {"epochs": 20, "forget_set": str(asked), "unlearning_algorithm": "scif"}
record = unlearn_recbole("BPR", "ml-100k", config_dict=request)
print(record["requests"])
print(record["metrics"].groupby("model")["metric"].nunique())
