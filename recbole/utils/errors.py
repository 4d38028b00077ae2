"""The exception for mistakes that the user can fix."""

from collections.abc import Iterable


def on_one_line(text: str) -> str:
    """Return ``text`` with escapes for characters that cannot be printed, such as line breaks and lone surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class UserError(Exception):
    """A mistake in the user's input, described in one line: what is wrong, where, and what would be right.

    Command lines print it without a traceback and exit with status 2. Raise it before writing anything. Line breaks and
    other characters that cannot be printed, which values from files may contain, are shown as escapes. A text of more
    than 1,500 characters, which quotes a long value, is shown without its middle.
    """

    def __str__(self) -> str:
        text = on_one_line(super().__str__())
        return text if len(text) <= 1500 else f"{text[:1000]} ... {text[-495:]}"


class NotAvailable(UserError, NotImplementedError, ImportError):
    """A feature of RecBole that this package lacks. The message names it, and says why or what to use instead."""


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``", did you mean 'x'?"`` for the most similar of ``known``, ignoring case, or an empty string."""
    import difflib

    names = {str(name).lower(): str(name) for name in known}
    near = difflib.get_close_matches(str(word).lower(), names, n=1, cutoff=0.6)
    return f", did you mean '{names[near[0]]}'?" if near else ""
