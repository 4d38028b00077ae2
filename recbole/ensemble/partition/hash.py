"""Shards by a keyed hash of tokens: the one partition that knows nothing of the data."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch

from recbole.data.vocabulary import Vocabulary
from recbole.ensemble.partition.base import EntityPartition, PartitionInput, check_shards
from recbole.utils import UserError
from recbole.utils.keyed import integers, key


def shards_of_tokens(tokens: Sequence[str | None], n_shards: int, seed: int) -> np.ndarray:
    """Return the shard of each token, int16 [n]: a hash of seed and token, and of nothing else; -1 where it is None.

    Raises:
        UserError: when there cannot be so many shards.
    """
    check_shards(n_shards)
    column = pa.array(tokens, pa.string(), from_pandas=True)
    hashes = torch.as_tensor(Vocabulary(column.fill_null("")).hashes[1:], device="cpu")
    shards = integers(n_shards, key(seed, "partition", "hash"), hashes).cpu().numpy().astype(np.int16)
    shards[column.is_null().to_numpy(zero_copy_only=False)] = -1
    return shards


class HashPartition(EntityPartition):
    """Gives each user the shard that a keyed hash of the user's token says.

    Whoever else is there, and whatever rows there are, changes nothing. Sizes are what chance makes of them, and a
    shard may be empty.
    """

    name = "hash"
    exact_level = "E2"
    by = "user"

    def _place(self, ids: np.ndarray, given: PartitionInput) -> np.ndarray:
        if given.user_tokens is None:
            raise UserError(f"--partition {self.name} needs the users' tokens")
        shards = shards_of_tokens([given.user_tokens[one] for one in ids.tolist()], given.n_shards, given.seed)
        if (shards < 0).any():
            raise UserError(f"--partition {self.name}: user {ids[shards.argmin()]} has rows, but no token")
        return shards
