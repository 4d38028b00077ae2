"""``prepare.py --check``: compares the sizes of a prepared data set (numbers of users, items, ...) with published ones.

Two stages are compared: ``source``, the raw files before any filter, and ``prepared``, the files that were written.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recbole.prepare.counting import check_together, opened
from recbole.prepare.program import say
from recbole.prepare.published import Published, Section, read_published
from recbole.utils import UserError, read_json, write_json

PUBLISHED = "published.yaml"
SOURCE_COUNTS = "source_counts.json"


@dataclass(frozen=True)
class Difference:
    """A size of the data, such as the number of users, that differs from the published one.

    Attributes:
        stage: ``source`` (size of the raw files) or ``prepared`` (size of the files that were written).
        gap: the counted number minus the published one.
        text: a description, for the error message.
    """

    stage: str
    gap: int
    text: str


def note_source(folder: Path, counts: Mapping[str, int]) -> None:
    """Store the sizes of the raw files, before any filter, so that a later ``--check`` can compare them.

    Args:
        folder: the folder of the prepared files, to which a JSON file is written.
        counts: dict from the name of what was counted, such as ``users``, to the number.
    """
    write_json(folder / SOURCE_COUNTS, dict(counts))


def check(options: argparse.Namespace, folder: Path) -> None:
    """Compare the sizes of a prepared data set and of its raw files with the published ones, and print both.

    Afterwards check that all files of the data set were written by the same preparation. For subsets, of which no sizes
    are published, only this is checked.

    Args:
        options: the script's options, from `steps.command_line`.
        folder: the folder of the data set, which contains ``published.yaml``.

    Raises:
        UserError: the data set has not been prepared, a size differs, or the files do not fit together.
    """
    data = opened(options.output, options.name)
    published = read_published(folder / PUBLISHED)
    if options.subset is not None:
        published = Published(Section(), Section(), {})
    say(f"{options.name}: {data.path}")
    path = options.output / SOURCE_COUNTS
    source = read_json(path, dict) if path.is_file() else None
    found = compared("source", source, published.source) + compared("prepared", data.counts(), published.prepared)
    if found:
        raise UserError(f"{options.name}: {'; '.join(one.text for one in found)}: {reason(published, source, found)}")
    check_together(data, published.at_least)
    known = published.source.figures or published.prepared.figures
    say(
        "the counts agree with the published ones"
        if known
        else "no counts are published for these data: only the agreement of the files with each other was checked"
    )


def compared(stage: str, found: Mapping[str, int] | None, published: Section) -> list[Difference]:
    """Print the sizes of one stage of the data next to the published ones, and return the differences.

    Args:
        stage: ``source`` (raw files) or ``prepared`` (files that were written).
        found: dict from the name of what was counted, such as ``users``, to the number; None if nothing was counted, in
            which case nothing is compared.
        published: the published numbers.
    """
    if found is None:
        if published.figures:
            say(
                f"{stage}: there are no counts of the raw files, so {len(published.figures)} published figures are not "
                "checked; prepare the data again to count them"
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
            text = f"no {words} are counted in the {stage} data, {figure} are published"
            differing.append(Difference(stage, -figure.value, text))
            continue
        gap = count - figure.value
        share = f" ({100 * gap / figure.value:+.3g} %)" if figure.value else ""
        more = "more" if gap > 0 else "fewer"
        text = f"{count:,} {stage} {words}, {abs(gap):,} {more} than the {figure} published{share}"
        differing.append(Difference(stage, gap, text))
    if published.origin:
        say(f"  (published figures of the {stage} data: {published.origin})")
    return differing


def reason(published: Published, source: Mapping[str, int] | None, found: Sequence[Difference]) -> str:
    """Return text for the error message: a likely reason why sizes of the data differ from the published ones.

    Args:
        published: the published numbers.
        source: the counted numbers of the raw files; None if unknown.
        found: the differences, at least one.
    """
    of_source = any(one.stage == "source" for one in found)
    section = published.source if of_source else published.prepared
    if section.reason:
        return section.reason
    if of_source:
        fewer = any(one.gap < 0 for one in found)
        return f"probably the raw files are another release, or {'truncated' if fewer else 'have repeated rows'}"
    if source is not None and published.source.figures:
        return "the raw files have the published counts, so probably a filter differs from that of the publication"
    return "probably the raw files have another version than in the publication, or filters differ"
