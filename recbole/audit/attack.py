"""Attacks on what a model holds of people, and how well they do, as rows of the result table."""

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
"""In ``population``, after the protocol: the attacker and view that did best on inner folds of the people it knows; the
same with the sign chosen there, too, so that it turns round what reads the wrong way; and, after the attacker, on
shuffled groups."""

ANY = "any"
"""The ``view`` of attackers that choose theirs."""

CHANCE = 0.5
_ENDS = 2.5, 97.5
_FEWER = 10
"""For one shuffling of other attackers there are so many of logistic regression, which is as much faster."""


@dataclass(frozen=True)
class AttackSettings:
    """How is attacked.

    Attributes:
        protocols: which; see :data:`~recbole.audit.protocols.PROTOCOLS`.
        attackers: which; see :data:`~recbole.audit.attackers.ATTACKERS`.
        seeds: each protocol is run so often, with other folds.
        folds: of cross-validations.
        balanced: people are left out at random until all groups are as large as the smallest; otherwise they all take
            part, and count more the smaller their group is.
        choose: whether somebody is chosen as :data:`WORST` and :data:`ADAPTIVE`, which takes three times as long.
    """

    protocols: tuple[str, ...] = ("inside", "outside", "outside_reversed")
    attackers: tuple[str, ...] = USUAL
    seeds: int = 5
    folds: int = 5
    balanced: bool = True
    choose: bool = True


Candidate = tuple[str, str]
"""A view and an attacker."""


@dataclass
class _Tally:
    """The shares in the metrics of the people that were read, and who they are, of each view and population."""

    shares: dict[Candidate, list[Floats]] = field(default_factory=dict)
    people: dict[Candidate, list[Ids]] = field(default_factory=dict)

    def add(self, view: str, population: str, scores: Floats, group: Ids, people: Ids) -> None:
        self.shares.setdefault((view, population), []).append(shares(scores, group))
        self.people.setdefault((view, population), []).append(people)

    def rows(self) -> list[Row]:
        """Return a row for each metric: the mean over folds and seeds, with an interval over people."""
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
    """Attack what a model holds of people, in all protocols that can be followed.

    Args:
        views: name to what an attacker sees.
        people: who they are; as many as the views have rows.
        settings: how.

    Returns:
        Rows of the result table: each view and attacker in each protocol and, of each protocol, who is ``worst`` and
        ``adaptive``. Protocols that are :func:`infeasible` have none.

    Raises:
        UserError: there is no such protocol.
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
    """Return the protocols that cannot be followed with these people, and why.

    Raises:
        UserError: there is no such protocol.
    """
    reasons = {protocol: obstacle(people, protocol, settings.folds) for protocol in settings.protocols}
    return {protocol: reason for protocol, reason in reasons.items() if reason is not None}


def shuffled(views: Mapping[str, Features], people: People, settings: AttackSettings, times: int = 200) -> list[Row]:
    """Return what attackers come to inside when groups are shuffled among the protected people: how nothing looks.

    Args:
        views: name to what an attacker sees.
        people: who they are.
        settings: how; of its protocols none counts.
        times: how often, for logistic regression; a tenth of it for the others.

    Returns:
        Rows of the result table: the mean, and from where to where 95 % of the shuffled ones are.
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
    """Run one round: all read, and whoever did best among those whom it knows reads as worst and as adaptive, too."""
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
