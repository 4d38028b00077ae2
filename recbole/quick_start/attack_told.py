"""Explanations that are printed below the table of attacks."""

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
    """Return lines of text that explain the results of attribute-inference attacks.

    They state the chance level, what the attackers ``worst`` and ``adaptive`` are, which values look like privacy
    although they are not (AUC below chance, protocols ``outside``), and which protocols were impossible and why.

    Args:
        rows: rows of the result table, from the attacks.
        people: the attacked users with their attribute values.
        settings: the protocols (whose attributes the attacker knows) and attackers (classifiers) that were used.
    """
    lines = [
        f"chance: AUC {CHANCE}, balanced accuracy {shown(1 / len(people.names))}. worst (the main result): the "
        f"attacker and view that did best on inner folds of the users whose attribute the attacker knows; {ADAPTIVE}: "
        "the same, with the sign also chosen on those folds. Intervals: over users, for fixed attackers. To test "
        "whether a value is above chance, compare it with the reference 'shuffled'."
    ]
    areas = [row for row in rows if row["metric"] == METRICS[0] and SHUFFLED not in row["population"]]
    below = [row for row in areas if row["high"] < CHANCE]
    if below:
        worst = min(below, key=lambda row: row["value"])
        lines.append(
            f"below chance: {len(below)} AUC, down to {shown(worst['value'])} ({worst['view']}, "
            f"{worst['population']}). This is not privacy: the groups are separated with the labels exchanged, and an "
            f"attacker who knows the method flips the sign and gets {shown(1 - worst['value'])}."
        )
    if any(row["population"].startswith("outside") for row in areas):
        lines.append(
            "outside: these attackers know only unprotected users, and also fail when the embeddings of protected "
            f"users have merely moved away from the others: an AUC of {CHANCE} there does not show privacy."
        )
    return lines + [f"attack {name} is not possible: {reason}" for name, reason in infeasible(people, settings).items()]
