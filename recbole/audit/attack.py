"""Runs attribute inference attacks on a model and returns their success as rows of the result table."""

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
"""Parts of the column ``population``, after the protocol.

``worst``: the (view, attacker) pair with the best AUC on inner folds of the users that the attacker knows.
``adaptive``: the same, but an AUC below .5 counts as 1 - AUC and the attacker's predictions are then inverted.
``shuffled``, after the attacker: group labels were shuffled.
"""

ANY = "any"
"""The column ``view`` of an attacker that chooses its own view."""

CHANCE = 0.5
_ENDS = 2.5, 97.5
_FEWER = 10
"""Attackers other than logistic regression, which are that much slower, run on this many times fewer shufflings."""


@dataclass(frozen=True)
class AttackSettings:
    """The settings of an attack.

    Attributes:
        protocols: names of :data:`~recbole.audit.protocols.PROTOCOLS`.
        attackers: names of :data:`~recbole.audit.attackers.ATTACKERS`.
        seeds: how many times each protocol is run, each time with other folds.
        folds: the number of folds in cross-validations.
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
"""``(view, attacker)``."""


@dataclass
class _Tally:
    """The attacked users' shares in the metrics (see :func:`shares`) and their ids, by (view, population)."""

    shares: dict[Candidate, list[Floats]] = field(default_factory=dict)
    people: dict[Candidate, list[Ids]] = field(default_factory=dict)

    def add(self, view: str, population: str, scores: Floats, group: Ids, people: Ids) -> None:
        self.shares.setdefault((view, population), []).append(shares(scores, group))
        self.people.setdefault((view, population), []).append(people)

    def rows(self) -> list[Row]:
        """Return one row per view, population and metric: the mean over folds and seeds, with a 95 % interval."""
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
    """Run all feasible protocols of attribute inference attacks.

    Args:
        views: view name to what an attacker sees, one row per user.
        people: the users, as many as the views have rows.
        settings: protocols, attackers, seeds and folds.

    Returns:
        Rows of the result table: one per protocol, view, attacker and metric and, if ``choose``, one per protocol and
            metric for ``worst`` and for ``adaptive``. Protocols that are :func:`infeasible` have none.

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
    """Return the protocols that cannot be run with these users, each with the reason.

    Raises:
        UserError: a protocol is unknown.
    """
    reasons = {protocol: obstacle(people, protocol, settings.folds) for protocol in settings.protocols}
    return {protocol: reason for protocol, reason in reasons.items() if reason is not None}


def shuffled(views: Mapping[str, Features], people: People, settings: AttackSettings, times: int = 200) -> list[Row]:
    """Return the attack metrics when group labels are shuffled among the protected users: the level of no information.

    Args:
        views: view name to what an attacker sees.
        people: the users.
        settings: attackers, folds and balancing; the protocol is always ``inside``.
        times: the number of shufflings for logistic regression; a tenth of it for other attackers.

    Returns:
        Rows of the result table: the mean over shufflings, with the central 95 % of them as low and high.
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
    return ((view, attacker) for view in views for attacker in settings.attackers)


def _round(
    views: Mapping[str, Features],
    group: Ids,
    split: Split,
    settings: AttackSettings,
    key: tuple[int, str, int],
    tally: _Tally,
) -> None:
    """Run one round: every candidate attacks, and the best on inner folds is recorded as worst and as adaptive too."""
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
    view, attacker = one
    known = group[split.train]
    weights = None if settings.balanced else (len(known) / np.bincount(known) / len(np.unique(known)))[known]
    return read(attacker, views[view], split.train, known, split.test, seed, weights)
