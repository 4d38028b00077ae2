"""Attack protocols: for which users the attacker knows the group, and for which users the attacker predicts it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recbole.evaluator.kinds import Ids, Mask
from recbole.utils import UserError, stream

INSIDERS = {"insider_10": 0.10, "insider_25": 0.25, "insider_50": 0.50}
"""Name of a protocol to the fraction of protected users whose group the attacker knows."""

PROTOCOLS = ("inside", "outside", "outside_reversed", *INSIDERS, "who")
"""The names of the protocols. Protected users are those whose attribute was to be unlearned.

``inside``: cross-validation among the protected users. ``outside``: the attacker knows the groups of the other users
and predicts those of the protected ones. ``outside_reversed``: the attacker knows the groups of the protected users and
predicts those of the others. ``insider_10``, ``insider_25``, ``insider_50``: the attacker knows the groups of 10, 25 or
50 % of the protected users and predicts those of the other protected users. ``who``: cross-validation among all users,
where the attacker predicts whether a user is protected.
"""


INNER_FOLDS = 3
"""The number of folds of the cross-validation among users with known group by which the best attacker is chosen."""


@dataclass(frozen=True)
class Split:
    """One round of a protocol, that is, of an attack that predicts the group of users, such as their age group.

    Attributes:
        train: int64, ids of the users whose group the attacker knows.
        test: int64, ids of the users whose group the attacker predicts.
    """

    train: Ids
    test: Ids


@dataclass(frozen=True)
class People:
    """The users in an attack, with their true groups (such as age groups).

    Attributes:
        group: int64 [n], the group of each user id, numbered from 0; -1 for an unknown group. These users are left out.
        protected: bool [n], whether the user's attribute was to be unlearned.
        names: the groups' names.
    """

    group: Ids
    protected: Mask
    names: tuple[str, ...]

    def of(self, protocol: str) -> Ids:
        """Return the label that the attacker predicts for each user under a protocol, int64 [n]; -1 for users left out.

        Args:
            protocol: name of the protocol. For ``who`` the label says whether the user is protected (1 or 0), otherwise
                it is the user's group.
        """
        return np.where(self.group >= 0, self.protected, -1).astype(np.int64) if protocol == "who" else self.group

    def names_of(self, protocol: str) -> tuple[str, ...]:
        """Return the names of the labels that the attacker predicts under a protocol, see :meth:`of`."""
        return ("not protected", "protected") if protocol == "who" else self.names

    def sides(self, protocol: str) -> tuple[Ids, Ids]:
        """Return the users whose label the attacker may know, and the users whose label is predicted, under a protocol.

        Args:
            protocol: name of the protocol.

        Returns:
            Two int64 arrays of user ids. They differ only in ``outside`` and ``outside_reversed``. In the other
            protocols both have the same users, whom :func:`splits` divides further.
        """
        known = self.group >= 0
        inside, outside = np.flatnonzero(known & self.protected), np.flatnonzero(known & ~self.protected)
        everybody = np.flatnonzero(known)
        both = {"outside": (outside, inside), "outside_reversed": (inside, outside), "who": (everybody, everybody)}
        return both.get(protocol, (inside, inside))


def obstacle(people: People, protocol: str, folds: int) -> str | None:
    """Return why a protocol cannot be run, as text, or None if it can. Every fold needs users from every group.

    Args:
        people: the users.
        protocol: name of the protocol.
        folds: the number of folds in protocols with cross-validation.

    Raises:
        UserError: the protocol is unknown.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"there is no attack protocol '{protocol}'; known: {', '.join(PROTOCOLS)}")
    if protocol in ("outside", "outside_reversed", "who") and people.protected[people.group >= 0].all():
        return "all users are protected"
    group, names = people.of(protocol), people.names_of(protocol)
    least = 2 * INNER_FOLDS / INSIDERS[protocol] if protocol in INSIDERS else 2 * folds
    for side in people.sides(protocol):
        for one, count in enumerate(np.bincount(group[side], minlength=len(names))):
            if count < least:
                return f"there are {count} users in the group '{names[one]}', but {least:.0f} are needed"
    return None


def splits(people: People, protocol: str, seed: int, folds: int, balanced: bool) -> Iterator[Split]:
    """Yield the rounds of a protocol: users whose label the attacker knows, and users whose label is predicted.

    Args:
        people: the users.
        protocol: one of :data:`PROTOCOLS` for which :func:`obstacle` returns None.
        seed: seed for folds and balancing.
        folds: the number of folds in protocols with cross-validation.
        balanced: whether to drop users at random until all groups are as large as the smallest.
    """
    draw, group = stream(seed, "attack", protocol), people.of(protocol)
    known, read = (balance(side, group, draw) if balanced else side for side in people.sides(protocol))
    if protocol.startswith("outside"):
        yield Split(known, read)
        return
    if protocol in INSIDERS:
        fold = fold_of(known, group, round(1 / INSIDERS[protocol]), draw)
        yield Split(known[fold == 0], known[fold != 0])
        return
    yield from cross(known, group, folds, draw)


def cross(people: Ids, group: Ids, folds: int, draw: np.random.Generator) -> Iterator[Split]:
    """Yield the rounds of a cross-validation, in each of which one fold is predicted from the other folds.

    Args:
        people: int64, ids of the users.
        group: int64, the group of each user id. Every group is spread evenly over the folds.
        folds: the number of folds.
        draw: the random generator.
    """
    fold = fold_of(people, group, folds, draw)
    for one in range(folds):
        yield Split(people[fold != one], people[fold == one])


def balance(people: Ids, group: Ids, draw: np.random.Generator) -> Ids:
    """Return a random subset of the users in which all groups are as large as the smallest group; int64 ids, ascending.

    Args:
        people: int64, ids of the users.
        group: int64, the group of each user id.
        draw: the random generator.
    """
    members = [people[group[people] == one] for one in np.unique(group[people])]
    least = min(map(len, members))
    return np.sort(np.concatenate([draw.permutation(some)[:least] for some in members]))


def fold_of(people: Ids, group: Ids, folds: int, draw: np.random.Generator) -> Ids:
    """Return a random fold for each user, int64 [len(people)], such that each group is spread evenly over the folds.

    Args:
        people: int64, ids of the users.
        group: int64, the group of each user id.
        folds: the number of folds, which are numbered from 0.
        draw: the random generator.
    """
    fold, begun = np.empty(len(people), dtype=np.int64), 0
    for one in np.unique(group[people]):
        place = draw.permutation(np.flatnonzero(group[people] == one))
        fold[place] = (begun + np.arange(len(place))) % folds
        begun += len(place)
    return fold
