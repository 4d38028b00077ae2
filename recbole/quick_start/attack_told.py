"""How the numbers of attacks are to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recbole.audit.attack import ADAPTIVE, CHANCE, SHUFFLED, infeasible
from recbole.audit.measures import METRICS
from recbole.report.tables import shown

if TYPE_CHECKING:
    from recbole.audit.attack import AttackSettings
    from recbole.audit.protocols import People
    from recbole.evaluator.kinds import Row


def notes(rows: list[Row], people: People, settings: AttackSettings) -> list[str]:
    """Return how the numbers are to be read, a line each: what chance is, and what is no privacy though it looks it."""
    said = [
        f"chance: AUC {CHANCE}, balanced accuracy {shown(1 / len(people.names))}. worst: the attacker and view that "
        f"did best on inner folds of the people it knows, the headline; {ADAPTIVE}: the same with the sign chosen "
        "there. Intervals: other people, the same attackers; whether a number is more than nothing the reference "
        "'shuffled' tells."
    ]
    areas = [row for row in rows if row["metric"] == METRICS[0] and SHUFFLED not in row["population"]]
    below = [row for row in areas if row["high"] < CHANCE]
    if below:
        worst = min(below, key=lambda row: row["value"])
        said.append(
            f"below chance: {len(below)} AUC, to {shown(worst['value'])} ({worst['view']}, {worst['population']}). "
            "That is no privacy: the groups are told apart, the wrong way round, and whoever knows the method flips "
            f"the sign: {shown(1 - worst['value'])}."
        )
    if any(row["population"].startswith("outside") for row in areas):
        said.append(
            "outside: such an attacker also fails because protected people's vectors have moved away from those that "
            f"it knows: {CHANCE} there is no privacy."
        )
    return said + [f"no attack {name}: {reason}" for name, reason in infeasible(people, settings).items()]
