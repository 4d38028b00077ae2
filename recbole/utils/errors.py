"""The exceptions for mistakes that the user can correct, and helpers for their messages."""

from collections.abc import Iterable


def on_one_line(text: str) -> str:
    """Return ``text`` on one line: line breaks and other characters that cannot be printed are shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class UserError(Exception):
    """A mistake in the user's input, described in one line: what is wrong, where, and what would be right.

    The programs print the line without a traceback and exit with status 2. Raise the exception before writing anything.
    Line breaks and other characters that cannot be printed, which quoted values may contain, are shown as escapes. Of a
    message with more than 1,500 characters, the middle is left out.
    """

    def __str__(self) -> str:
        text = on_one_line(super().__str__())
        return text if len(text) <= 1500 else f"{text[:1000]} ... {text[-495:]}"


class NotAvailable(UserError, NotImplementedError, ImportError):
    """Raised for a feature of RecBole that this package does not have. The message says why, or what to use instead."""


def suggest(word: str, known: Iterable[str]) -> str:
    """Return text that suggests a correction of a mistyped word, such as ``", did you mean 'lightgcn'?"``.

    Args:
        word: the word that the user wrote.
        known: the words that would be right. The most similar one, ignoring case, is suggested, but never ``word``
            itself.

    Returns:
        An empty string if no known word is similar.
    """
    import difflib

    names = {str(name).lower(): str(name) for name in known if str(name) != str(word)}
    near = difflib.get_close_matches(str(word).lower(), names, n=1, cutoff=0.6)
    return f", did you mean '{names[near[0]]}'?" if near else ""
