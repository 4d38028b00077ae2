"""Messages of user errors."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from recbole.utils import NotAvailable, UserError


@given(st.text())
def test_a_message_is_one_line_that_can_be_printed(text):
    assert all(str(error(text)).isprintable() for error in (UserError, NotAvailable))
    if text.isprintable():
        assert str(UserError(text)) == text


def test_unprintable_characters_are_shown_as_escapes():
    assert str(UserError("a\nb: \udce9 é")) == "a\\nb: \\udce9 é"


def test_an_error_from_another_process_keeps_its_message():
    assert str(pickle.loads(pickle.dumps(UserError("a\nb")))) == "a\\nb"
