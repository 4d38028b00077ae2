"""Train a model on MovieLens 100K, load it again, and look at what it recommends to whom.

    python dataset/ml-100k/prepare.py
    python examples/train_and_case_study.py

A cell begins with ``# %%``: editors and Jupyter (with jupytext) open this file as a notebook.
"""

# %% Train and evaluate, with the titles of the films loaded beside the ratings
from recbole.quick_start import load_data_and_model, run_recbole
from recbole.utils.case_study import full_sort_scores, full_sort_topk

USERS = ["1", "2", "13"]
columns = {"inter": ["user_id", "item_id", "rating", "timestamp"], "item": ["item_id", "movie_title"]}
result = run_recbole(model="BPR", dataset="ml-100k", config_dict={"epochs": 20, "load_col": columns})
print(result.to_frame())

# %% Load the saved model, with its data and settings
config, model, dataset, train_data, valid_data, test_data = load_data_and_model(result["model_file"])
print(dataset)

# %% Recommend to chosen users what they have not rated yet
users = dataset.token2id("user_id", USERS)
scores, items = full_sort_topk(users, model, test_data, k=5, device=config["device"])
titles = dataset.item_feat["movie_title"]
for user, row in zip(USERS, items.tolist(), strict=True):
    told = [" ".join(dataset.id2token("movie_title", titles[item])) for item in row]
    print(f"user {user}: {'; '.join(told)}")

# %% Where a film of the test part stands among all, for each of them
every = full_sort_scores(users, model, test_data, device=config["device"])
right = test_data.dataset.inter_feat
for at, user in enumerate(users.tolist()):
    for item in right["item_id"][right["user_id"] == user].tolist()[:1]:
        place = int((every[at] > every[at, item]).sum()) + 1
        print(
            f"user {USERS[at]}: item {dataset.id2token('item_id', item)} is at place {place} of {dataset.item_num - 1}"
        )
