"""Small data of each task on disk, and programs that run in this process."""

import json

import numpy as np
from in_process import inside

__all__ = ["furnish_clean", "histories", "inside", "write"]

SETTINGS = """
USER_ID_FIELD: %s
load_col: {inter: [%s, item_id, timestamp]}
eval_args: {order: TO}
embedding_size: 8
epochs: 3
train_batch_size: 32
eval_batch_size: 7
learning_rate: 0.02
metrics: [Recall, NDCG]
valid_metric: Recall@10
use_gpu: False
tensorboard: False
"""


def furnish_clean(folder, task):
    """Write the data set ``tiny`` and ``tiny.yaml`` into a folder; return the data folder and the field of users."""
    data, field = folder / "dataset" / "tiny", "session_id" if task == "SBR" else "user_id"
    data.mkdir(parents=True)
    write(data / f"tiny{'_merged.json' if task == 'NBR' else '.inter'}", task, field, histories(range(100, 130), 1))
    (folder / "tiny.yaml").write_text(SETTINGS % (field, field))
    return data, field


def histories(users, seed, more=()):
    draw = np.random.default_rng(seed)
    size = {user: 12 + at % 5 for at, user in enumerate(users)}
    found = {user: [*draw.choice(np.arange(1, 34), n, replace=False).tolist(), *more] for user, n in size.items()}
    return {user: draw.permutation(list(dict.fromkeys(items))).tolist() for user, items in found.items()}


def write(path, task, field, sequences):
    if task == "NBR":
        baskets = {user: [items[at : at + 3] for at in range(0, len(items), 3)] for user, items in sequences.items()}
        path.write_text(json.dumps(baskets))
        return
    lines = [f"{user}\t{item}\t{at}\n" for user, items in sequences.items() for at, item in enumerate(items)]
    path.write_text(f"{field}:token\titem_id:token\ttimestamp:float\n{''.join(lines)}")
