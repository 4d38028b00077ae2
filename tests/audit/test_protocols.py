"""Attack protocols: which users are in the training and the test set of the attacker."""

import numpy as np
import pytest

from recbole.audit.protocols import PROTOCOLS, People, obstacle, splits
from recbole.utils import UserError

N = 400
GROUP = np.where(np.arange(N) % 10 == 0, -1, np.arange(N) % 3 % 2)
PROTECTED = np.arange(N) % 4 > 0
WHO = People(GROUP, PROTECTED, ("a", "b"))


def rounds(protocol, balanced=True, seed=0):
    """Return the splits of a protocol with five folds."""
    return list(splits(WHO, protocol, seed, 5, balanced))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("balanced", [True, False])
def test_training_and_test_users_are_disjoint_and_have_known_groups(protocol, balanced):
    assert obstacle(WHO, protocol, 5) is None
    for split in rounds(protocol, balanced):
        assert not set(split.train) & set(split.test)
        group = WHO.of(protocol)
        for side in (split.train, split.test):
            sizes = np.bincount(group[side], minlength=2)
            assert (GROUP[side] >= 0).all() and sizes.min() > 0
            assert not balanced or np.ptp(sizes) <= 1


def test_each_protected_user_is_in_one_test_fold():
    read = np.concatenate([split.test for split in rounds("inside", balanced=False)])
    assert sorted(read) == np.flatnonzero(PROTECTED & (GROUP >= 0)).tolist()
    assert len(rounds("inside")) == 5 and len(rounds("insider_25")) == 1


def test_outside_protocols_cross_between_protected_and_other_users():
    (one,), (other,) = rounds("outside"), rounds("outside_reversed")
    assert not PROTECTED[one.train].any() and PROTECTED[one.test].all()
    assert PROTECTED[other.train].all() and not PROTECTED[other.test].any()


@pytest.mark.parametrize(("protocol", "share"), [("insider_10", 0.1), ("insider_25", 0.25), ("insider_50", 0.5)])
def test_insider_protocols_train_on_their_share(protocol, share):
    (split,) = rounds(protocol)
    assert len(split.train) / (len(split.train) + len(split.test)) == pytest.approx(share, abs=0.02)


def test_folds_depend_on_the_seed():
    one, again, other = (rounds("inside", seed=seed)[0].test.tolist() for seed in (0, 0, 1))
    assert one == again != other


def test_impossible_protocols_give_a_reason():
    everybody = People(GROUP, np.ones(N, dtype=bool), ("a", "b"))
    for protocol in ("outside", "outside_reversed", "who"):
        assert obstacle(everybody, protocol, 5) == "all users are protected"
    few = People(np.where(np.arange(N) < 9, 1, 0), PROTECTED, ("a", "b"))
    assert obstacle(few, "inside", 5) == "there are 6 users in the group 'b', but 10 are needed"
    with pytest.raises(UserError, match="there is no attack protocol 'insid'; known: inside, outside"):
        obstacle(WHO, "insid", 5)
