"""The one exception that means "the user can fix this"."""

from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the input, told in one line: what is wrong, where, and what would be right.

    The command lines print it without a traceback and exit with status 2. Raise it before anything is written.
    """


class NotAvailable(UserError, NotImplementedError, ImportError):
    """Something of RecBole's that cannot be had here; the message names it, and says why or what to use instead."""


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``", did you mean 'x'?"`` for the nearest of ``known``, whatever its case, or an empty string."""
    import difflib

    names = {str(name).lower(): str(name) for name in known}
    near = difflib.get_close_matches(str(word).lower(), names, n=1, cutoff=0.6)
    return f", did you mean '{names[near[0]]}'?" if near else ""
