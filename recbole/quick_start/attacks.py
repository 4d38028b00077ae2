"""Whom a run protects in which attribute, as attacks take it."""

from __future__ import annotations

from recbole.audit.audited import Audited, everybody
from recbole.data.attributes import read_attribute
from recbole.quick_start.setup import Setup
from recbole.trainer.state import State


def audited_in(setup: Setup, state: State, name: str) -> Audited:
    """Return an attribute of a data set's people, and who of them a state protects; everybody where it protects none.

    Raises:
        UserError: there is no such attribute.
    """
    return everybody(read_attribute(setup.config, setup.dataset, name))
