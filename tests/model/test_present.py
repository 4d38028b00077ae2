"""The users that losses over all users include."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole.model.present import with_batch

IDS = st.lists(st.integers(0, 9), min_size=1, max_size=12)


@given(present=IDS, batch=IDS)
def test_users_of_a_batch_are_included_and_found_at_their_own_place(present, batch):
    present, users = torch.tensor(sorted(set(present))), torch.tensor(batch)
    found = with_batch(present, users, 10)
    assert found.tolist() == np.union1d(present, users).tolist()
    assert torch.equal(found[torch.searchsorted(found, users)], users)
