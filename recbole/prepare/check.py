"""``prepare.py --check``: the counts of what was prepared beside the published ones."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from recbole.prepare.counting import check_together, opened
from recbole.prepare.program import say
from recbole.prepare.published import Published, Section, read_published
from recbole.utils import UserError, read_json, write_json

PUBLISHED = "published.yaml"
SOURCE_COUNTS = "source_counts.json"


def note_source(folder: Path, counts: Mapping[str, int]) -> None:
    """Write how much the raw files held, before any filter, for a later check."""
    write_json(folder / SOURCE_COUNTS, dict(counts))


def check(options: argparse.Namespace, folder: Path) -> None:
    """Print the counts of a prepared data set, those of its raw files too, beside the published ones.

    Of a subset nothing is published: it is held against itself alone, as what is at least so is for the whole.

    Args:
        options: see `steps.command_line`.
        folder: the data set's, with its published figures.

    Raises:
        UserError: nothing was prepared, a count differs, or the files do not belong together.
    """
    data = opened(options.output, options.name)
    published = read_published(folder / PUBLISHED)
    if options.subset is not None:
        published = Published(Section(), Section(), {})
    say(f"{options.name}: {data.path}")
    path = options.output / SOURCE_COUNTS
    source = read_json(path, dict) if path.is_file() else None
    told = beside("source", source, published.source) + beside("prepared", data.counts(), published.prepared)
    if told:
        raise UserError(f"{options.name}: {'; '.join(told)}: {reason(published, source, told)}")
    check_together(data, published.at_least)
    known = published.source.figures or published.prepared.figures
    say("the counts hold" if known else "no size is published: the files agree with each other, more cannot be checked")


def beside(stage: str, found: Mapping[str, int] | None, published: Section) -> list[str]:
    """Print the counts of one stage beside the published figures; return a text for each that differs.

    Args:
        stage: ``source`` or ``prepared``.
        found: what is counted to how many; None where it was not counted.
        published: the figures.
    """
    if found is None:
        if published.figures:
            say(
                f"{stage}: not counted when this was prepared, so that {len(published.figures)} figures are not checked"
            )
        return []
    differing = []
    for what in dict.fromkeys((*found, *published.figures)):
        figure, words = published.figures.get(what), what.replace("_", " ")
        count = found.get(what)
        shown = "" if count is None else f"{count:,}"
        say(f"  {stage + ' ' + words:<36}{shown:>14}   published: {figure or 'not known'}")
        if figure is None or (count is not None and figure.agrees(count)):
            continue
        if count is None:
            differing.append(f"no {words} are counted in the {stage} data, {figure} are published")
            continue
        gap = count - figure.value
        share = f" ({100 * gap / figure.value:+.3g} %)" if figure.value else ""
        more = "more" if gap > 0 else "fewer"
        differing.append(f"{count:,} {stage} {words}, {abs(gap):,} {more} than the {figure} published{share}")
    if published.origin:
        say(f"  (published figures of the {stage} data: {published.origin})")
    return differing


def reason(published: Published, source: Mapping[str, int] | None, told: list[str]) -> str:
    """Return a likely reason for counts that differ (``told``, see `beside`)."""
    of_source = any(" source " in one for one in told)
    section = published.source if of_source else published.prepared
    if section.reason:
        return section.reason
    if of_source:
        fewer = any(" fewer than " in one for one in told)
        return (
            f"another release of the raw files, or {'one that is cut off' if fewer else 'rows that stand there twice'}"
        )
    if source is not None and published.source.figures:
        return "the raw files have the published counts, so a filter differs from that of the published figures"
    return "another version of the raw files, or other filters, than those of the published figures"
