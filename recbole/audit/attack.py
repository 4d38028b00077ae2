"""Runs attribute inference attacks, and returns their metrics as rows of the result table.

A *view* is what an attacker sees of the users in a model, such as their embeddings or their recommended lists. A
*group* is the set of all users with the same value of the attribute, such as gender. An *attacker* is a classifier that
predicts a user's group from a view. A *protocol* says for which users the attacker knows the group, and for which users
the attacker predicts the group (:mod:`recbole.audit.protocols`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recbole.audit.attackers import USUAL, Features, one_thread, read
from recbole.audit.measures import METRICS, auc, shares, turned
from recbole.audit.protocols import INNER_FOLDS, People, Split, cross, obstacle, splits
from recbole.evaluator.intervals import mean_intervals
from recbole.evaluator.kinds import Floats, Ids, Row
from recbole.evaluator.table import Table
from recbole.utils import stream

WORST, ADAPTIVE, SHUFFLED = "worst", "adaptive", "shuffled"
"""Names in the column ``population`` of the result table, after a protocol's name, besides those of attackers.

``<protocol>/worst``: results of the (view, attacker) pair with the highest AUC in a cross-validation among the users
whose groups are known. ``<protocol>/adaptive``: the same, but an AUC below .5 counts as 1 - AUC, and the predictions
are then inverted. ``<protocol>/<attacker>/shuffled``: results of the attacker on shuffled group labels.
"""

ANY = "any"
"""The value of the column ``view`` for ``worst`` and ``adaptive``, whose view is chosen in each round."""

CHANCE = 0.5
_ENDS = 2.5, 97.5
_FEWER = 10
"""Attackers other than logistic regression are slow. Their number of shufflings is divided by this number."""


@dataclass(frozen=True)
class AttackSettings:
    """The settings of an attack.

    Attributes:
        protocols: names of :data:`~recbole.audit.protocols.PROTOCOLS`, which say whose groups are known and predicted.
        attackers: names of classifiers, see :data:`~recbole.audit.attackers.ATTACKERS`.
        seeds: how many times each protocol is run, each time with other folds.
        folds: the number of folds in protocols with cross-validation.
        balanced: True drops users at random until all groups are as large as the smallest. False keeps all users and
            weights them inversely to their group's size.
        choose: whether :data:`WORST` and :data:`ADAPTIVE` are computed, which triples the time.
    """

    protocols: tuple[str, ...] = ("inside", "outside", "outside_reversed")
    attackers: tuple[str, ...] = USUAL
    seeds: int = 5
    folds: int = 5
    balanced: bool = True
    choose: bool = True


Candidate = tuple[str, str]
"""The names of a view and of an attacker."""


@dataclass
class _Tally:
    """Collects the results of attacks on users, from which rows of the result table are computed.

    The keys of both dictionaries are values of the columns ``view`` and ``population``, such as ``("table",
    "inside/trees")`` for the attacker ``trees`` on the view ``table`` under the protocol ``inside``.

    Attributes:
        shares: key to one array per round, float64 [users, metrics]. The mean of a metric's column is the metric, see
            :func:`~recbole.audit.measures.shares`.
        people: key to one array per round, int64 [users], the ids of these users.
    """

    shares: dict[Candidate, list[Floats]] = field(default_factory=dict)
    people: dict[Candidate, list[Ids]] = field(default_factory=dict)

    def add(self, view: str, population: str, scores: Floats, group: Ids, people: Ids) -> None:
        """Add an attacker's predictions for the users of one test fold.

        Args:
            view: what the attacker sees, such as ``table`` or ``lists``; the column ``view`` of the result table.
            population: ``protocol/attacker``, such as ``inside/trees``; the column ``population`` of the result table.
            scores: float64 [n, groups], predicted group probabilities.
            group: int64 [n], true groups.
            people: int64 [n], ids of the users.
        """
        self.shares.setdefault((view, population), []).append(shares(scores, group))
        self.people.setdefault((view, population), []).append(people)

    def rows(self) -> list[Row]:
        """Return one row of the result table per view, population and metric, with a 95 % interval.

        The value is the mean over users and rounds. The interval is computed by resampling users, each of whom may have
        been attacked in several rounds.
        """
        table = Table()
        for (view, population), parts in self.shares.items():
            values, people = np.concatenate(parts), np.concatenate(self.people[view, population])
            low, high = mean_intervals(values, people)
            counts = {"n_people": len(np.unique(people)), "n_rows": len(people)}
            for at, metric in enumerate(METRICS):
                about: dict[str, Any] = {"view": view, "population": population} | counts
                table.add(metric, values[:, at].mean(), low=float(low[at]), high=float(high[at]), **about)
        return table.rows


def attack(views: Mapping[str, Features], people: People, settings: AttackSettings) -> list[Row]:
    """Run attribute inference attacks by all protocols of the settings that the users' groups allow.

    Args:
        views: view name to features, one row per user id.
        people: the users, as many as the views have rows.
        settings: protocols, attackers, seeds and folds.

    Returns:
        Rows of the result table: one per protocol, view, attacker and metric. With ``choose`` there are also one per
        protocol and metric for ``worst``, and one for ``adaptive``. A protocol has no rows if :func:`infeasible` lists
        it.

    Raises:
        UserError: a protocol is unknown.
    """
    tally, left_out = _Tally(), infeasible(people, settings)
    for protocol in settings.protocols:
        if protocol in left_out:
            continue
        group = people.of(protocol)
        with one_thread():
            for seed in range(settings.seeds):
                for number, split in enumerate(splits(people, protocol, seed, settings.folds, settings.balanced)):
                    _round(views, group, split, settings, (seed, protocol, number), tally)
    return tally.rows()


def infeasible(people: People, settings: AttackSettings) -> dict[str, str]:
    """Return the protocols that cannot be run, for example because a group is too small: name to reason, as text.

    Args:
        people: the users.
        settings: protocols and folds.

    Raises:
        UserError: a protocol is unknown.
    """
    reasons = {protocol: obstacle(people, protocol, settings.folds) for protocol in settings.protocols}
    return {protocol: reason for protocol, reason in reasons.items() if reason is not None}


def shuffled(views: Mapping[str, Features], people: People, settings: AttackSettings, times: int = 200) -> list[Row]:
    """Run attacks on group labels that are shuffled among the protected users, and return the attack metrics.

    These are the values to expect if the views contain no information about the attribute. Protected users are those
    whose attribute was to be unlearned.

    Args:
        views: view name to features, one row per user id.
        people: the users, as many as the views have rows.
        settings: attackers, folds and balancing; the protocol is always ``inside``, a cross-validation among protected
            users.
        times: the number of shufflings for logistic regression; a tenth of it for other attackers.

    Returns:
        Rows of the result table: ``value`` is the mean over shufflings, ``low`` and ``high`` are their 2.5 % and 97.5 %
        quantiles, and ``n_rows`` is the number of shufflings. Empty if the protocol ``inside`` cannot be run.
    """
    table = Table()
    if infeasible(people, replace(settings, protocols=("inside",))):
        return table.rows
    inside, _ = people.sides("inside")
    for view, attacker in _candidates(views, settings):
        found = []
        for at in range(times if attacker == "logistic" else max(times // _FEWER, 1)):
            group = people.group.copy()
            group[inside] = stream(at, "attack", SHUFFLED).permutation(group[inside])
            other = People(group, people.protected, people.names)
            with one_thread():
                parts = [
                    shares(_read({view: features}, (view, attacker), group, split, at, settings), group[split.test])
                    for features in [views[view]]
                    for split in splits(other, "inside", at, settings.folds, settings.balanced)
                ]
            found.append(np.concatenate(parts).mean(axis=0))
        low, high = np.percentile(found, _ENDS, axis=0)
        for place, (metric, value) in enumerate(zip(METRICS, np.mean(found, axis=0), strict=True)):
            about: dict[str, Any] = {"view": view, "population": f"inside/{attacker}/{SHUFFLED}"}
            about |= {"low": float(low[place]), "high": float(high[place])}
            table.add(metric, value, n_people=len(inside), n_rows=len(found), **about)
    return table.rows


def _candidates(views: Mapping[str, Features], settings: AttackSettings) -> Iterator[Candidate]:
    """Yield the names of all pairs of a view and an attacker."""
    return ((view, attacker) for view in views for attacker in settings.attackers)


def _round(
    views: Mapping[str, Features],
    group: Ids,
    split: Split,
    settings: AttackSettings,
    key: tuple[int, str, int],
    tally: _Tally,
) -> None:
    """Run one round of a protocol, and add its results to ``tally``.

    Every (view, attacker) pair is trained on the users with known groups, and predicts the groups of the others. With
    ``choose``, a cross-validation among the users with known groups selects two pairs, whose predictions are added once
    more: as ``worst`` those of the pair with the highest AUC, and as ``adaptive`` those of the pair whose AUC is
    farthest from .5. If that AUC is below .5, the ``adaptive`` predictions are inverted.

    Args:
        views: view name to features, one row per user id.
        group: int64, the label of each user id.
        split: the users whose label is known, and those whose label is predicted.
        settings: attackers, balancing and ``choose``.
        key: seed, protocol and number of the round, which seed the random numbers.
        tally: the object that collects the results.
    """
    seed, protocol, number = key
    told: dict[Candidate, Floats] = {}
    validated: dict[Candidate, float] = {}
    truth, test = group[split.test], split.test
    for view, attacker in _candidates(views, settings):
        told[view, attacker] = _read(views, (view, attacker), group, split, seed, settings)
        tally.add(view, f"{protocol}/{attacker}", told[view, attacker], truth, test)
    if not settings.choose:
        return
    for one in told:
        inner = cross(split.train, group, INNER_FOLDS, stream(seed, "attack", protocol, "inner", number))
        areas = [auc(_read(views, one, group, part, seed, settings), group[part.test]) for part in inner]
        validated[one] = float(np.mean(areas))
    worst = max(validated, key=lambda one: validated[one])
    adaptive = max(validated, key=lambda one: abs(validated[one] - CHANCE))
    signed = told[adaptive] if validated[adaptive] >= CHANCE else turned(told[adaptive])
    tally.add(ANY, f"{protocol}/{WORST}", told[worst], truth, test)
    tally.add(ANY, f"{protocol}/{ADAPTIVE}", signed, truth, test)


def _read(
    views: Mapping[str, Features], one: Candidate, group: Ids, split: Split, seed: int, settings: AttackSettings
) -> Floats:
    """Train one attacker on one view, and return the group probabilities that it predicts.

    Args:
        views: view name to features, one row per user id.
        one: the names of the view and of the attacker.
        group: int64, the label of each user id.
        split: the users whose label is known, and those whose label is predicted.
        seed: the attacker's random seed.
        settings: says whether groups are balanced; otherwise users are weighted inversely to their group's size.

    Returns:
        float64 [test users, groups].
    """
    view, attacker = one
    known = group[split.train]
    weights = None if settings.balanced else (len(known) / np.bincount(known) / len(np.unique(known)))[known]
    return read(attacker, views[view], split.train, known, split.test, seed, weights)
