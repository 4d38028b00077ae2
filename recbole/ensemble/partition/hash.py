"""Divides users into shards by a keyed hash of the user's token: a user's shard does not depend on any interaction."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch

from recbole.data.vocabulary import Vocabulary
from recbole.ensemble.partition.base import EntityPartition, PartitionInput, check_shards
from recbole.utils import UserError
from recbole.utils.keyed import integers, key


def shards_of_tokens(tokens: Sequence[str | None], n_shards: int, seed: int) -> np.ndarray:
    """Return the shard of each token, int16 [n], by a hash of seed and token; -1 for a token that is None.

    Args:
        tokens: raw tokens of users.
        n_shards: the number of shards.
        seed: the key of the hash.

    Raises:
        UserError: the number of shards is not from 1 to 32767.
    """
    check_shards(n_shards)
    column = pa.array(tokens, pa.string(), from_pandas=True)
    hashes = torch.as_tensor(Vocabulary(column.fill_null("")).hashes[1:], device="cpu")
    shards = integers(n_shards, key(seed, "partition", "hash"), hashes).cpu().numpy().astype(np.int16)
    shards[column.is_null().to_numpy(zero_copy_only=False)] = -1
    return shards


class HashPartition(EntityPartition):
    """Assigns each user a shard by a hash of the user's raw token, with the seed as the key.

    A user's shard does not depend on any other user or on any row. Shard sizes are random, and a shard may be empty.
    """

    name = "hash"
    exact_level = "E2"
    by = "user"

    def _place(self, ids: np.ndarray, given: PartitionInput) -> np.ndarray:
        if given.user_tokens is None:
            raise UserError(f"--partition {self.name} needs the users' tokens")
        shards = shards_of_tokens([given.user_tokens[one] for one in ids.tolist()], given.n_shards, given.seed)
        if (shards < 0).any():
            raise UserError(f"--partition {self.name}: user id {ids[shards.argmin()]} has rows, but no token")
        return shards
