"""The protocols of attacks: which people an attacker knows, and whom it is to read."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recbole.evaluator.kinds import Ids, Mask
from recbole.utils import UserError, stream

INSIDERS = {"insider_10": 0.10, "insider_25": 0.25, "insider_50": 0.50}
PROTOCOLS = ("inside", "outside", "outside_reversed", *INSIDERS, "who")
"""``inside``: folds of the protected people; ``outside``: knows people outside of the protected set, reads those in it;
``outside_reversed``: the other way round; ``insider_10`` and so on: knows that share (%) of the protected people, reads
the rest of them; ``who``: folds of all people, and what is read is who is protected."""


INNER_FOLDS = 3
"""Of the people whom an attacker knows, to choose an attacker by."""


@dataclass(frozen=True)
class Split:
    """One round of a protocol.

    Attributes:
        train: int64, the people that the attacker knows.
        test: int64, whom it reads.
    """

    train: Ids
    test: Ids


@dataclass(frozen=True)
class People:
    """Who takes part.

    Attributes:
        group: int64 [n], each person's group, numbers from 0 on; -1 is not known, and takes part in nothing.
        protected: bool [n], whose attribute was to be unlearned.
        names: the groups' names.
    """

    group: Ids
    protected: Mask
    names: tuple[str, ...]

    def of(self, protocol: str) -> Ids:
        """Return what is read in a protocol of each person, int64 [n], -1 where the person takes no part."""
        return np.where(self.group >= 0, self.protected, -1).astype(np.int64) if protocol == "who" else self.group

    def names_of(self, protocol: str) -> tuple[str, ...]:
        """Return the names of what is read in a protocol."""
        return ("not protected", "protected") if protocol == "who" else self.names

    def sides(self, protocol: str) -> tuple[Ids, Ids]:
        """Return who may be known and who is read (int64 each) in a protocol; in all but ``outside`` ones the same."""
        known = self.group >= 0
        inside, outside = np.flatnonzero(known & self.protected), np.flatnonzero(known & ~self.protected)
        everybody = np.flatnonzero(known)
        both = {"outside": (outside, inside), "outside_reversed": (inside, outside), "who": (everybody, everybody)}
        return both.get(protocol, (inside, inside))


def obstacle(people: People, protocol: str, folds: int) -> str | None:
    """Return why a protocol cannot be followed, or None where it can: every group needs people in every fold.

    Raises:
        UserError: there is no such protocol.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"'{protocol}' is no way to attack; known: {', '.join(PROTOCOLS)}")
    if protocol in ("outside", "outside_reversed", "who") and people.protected[people.group >= 0].all():
        return "everybody is protected"
    group, names = people.of(protocol), people.names_of(protocol)
    least = 2 * INNER_FOLDS / INSIDERS[protocol] if protocol in INSIDERS else 2 * folds
    for side in people.sides(protocol):
        for one, count in enumerate(np.bincount(group[side], minlength=len(names))):
            if count < least:
                return f"there are {count} people of the group '{names[one]}', and {least:.0f} are needed"
    return None


def splits(people: People, protocol: str, seed: int, folds: int, balanced: bool) -> Iterator[Split]:
    """Yield the rounds of a protocol.

    Args:
        people: who takes part.
        protocol: one of :data:`PROTOCOLS`, :func:`obstacle`.
        seed: of the folds, and of who is left out.
        folds: of the people, where a protocol has folds.
        balanced: leave people out at random until the groups are as large as the smallest.
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
    """Yield the rounds of a cross-validation of people (int64): each fold is read once, by who knows the others."""
    fold = fold_of(people, group, folds, draw)
    for one in range(folds):
        yield Split(people[fold != one], people[fold == one])


def balance(people: Ids, group: Ids, draw: np.random.Generator) -> Ids:
    """Return people (int64, ascending) of whom all groups have as many as the smallest had, the others drawn away."""
    members = [people[group[people] == one] for one in np.unique(group[people])]
    least = min(map(len, members))
    return np.sort(np.concatenate([draw.permutation(some)[:least] for some in members]))


def fold_of(people: Ids, group: Ids, folds: int, draw: np.random.Generator) -> Ids:
    """Return the fold of each person, int64: shuffled, and of every group as many in each fold as can be."""
    fold, begun = np.empty(len(people), dtype=np.int64), 0
    for one in np.unique(group[people]):
        place = draw.permutation(np.flatnonzero(group[people] == one))
        fold[place] = (begun + np.arange(len(place))) % folds
        begun += len(place)
    return fold
