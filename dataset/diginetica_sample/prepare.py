"""Prepare the data set diginetica_sample (a sample of the Diginetica log) and its forget sets.

    python dataset/diginetica_sample/prepare.py              downloads the data
    python dataset/diginetica_sample/prepare.py --from DIR   uses a file that you have: DIR/train-item-views.csv
    python dataset/diginetica_sample/prepare.py --subset 0.1 writes diginetica_sample_test with 10 % of the sessions

The script writes diginetica_sample.inter (RecBole's atomic file; each session is a user), the items of two synthetic
sensitive categories (sensitive_asins_<category>.txt, one item id per line) and the forget sets
(diginetica_sample_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
The category middling is for results, the category tuning for choosing hyper-parameters on other items.
The same data give the same files. The data are Diginetica's; README.md states their terms of use.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recbole.data.atomic import write_atomic
from recbole.generators.raw_log import RawInteractions
from recbole.prepare import program, small_sources, steps
from recbole.prepare.synthetic_categories import draw_categories
from recbole.utils import UserError, sha256_of_file

HERE = Path(__file__).resolve().parent
NAME = "diginetica_sample"
INTER = f"{NAME}.inter"
SESSION = "session_id"
SHA256 = "021cdf41074550aa5f8457fdd5d2f5e6b836fa25e49054e0cc50da43af2476b3"
SOURCES = ("train-item-views.csv", "sample_train-item-views.csv")
HEADER = "session_id;user_id;item_id;timeframe;eventdate"
COMMIT = "cf724b1a748e5a238dd008aaac8b68e3039fd581"
URL = f"https://github.com/CRIPAC-DIG/SR-GNN/archive/{COMMIT}.zip"
MEMBER = f"SR-GNN-{COMMIT}/datasets/sample_train-item-views.csv"
ADVICE = f"download datasets/{SOURCES[1]} from {URL.partition('/archive')[0]} to a folder, and pass that with --from"
FRACTIONS = (0.001, 0.002, 0.005, 0.01)
CATEGORY_SEEDS = {"middling": 2016, "tuning": 2017}
VIEWS = range(4, 10)
N_ITEMS = 80


def main():
    """Download or convert the data, and write them, or a subset, with the item lists and the forget sets."""
    options = steps.command_line(__doc__, HERE, f"{SOURCES[0]} (or {SOURCES[1]})")
    with tempfile.TemporaryDirectory() as folder:
        path = views(options, Path(folder))
        program.say(f"{INTER} is {'' if sha256_of_file(path) == SHA256 else 'NOT '}identical to the published sample")
        log = RawInteractions(path, user_field=SESSION)
        categories = draw_categories(neither_popular_nor_rare(log.items.to_pylist()), N_ITEMS, CATEGORY_SEEDS)
        steps.write_rows(options, "SBR", log, categories, FRACTIONS, user_field=SESSION)


def views(options, folder):
    """Return the path of the log as an atomic file: an existing one, or one that is written to ``folder``."""
    for there in dict.fromkeys((options.output, HERE)):
        if not options.source and (there / INTER).is_file() and sha256_of_file(there / INTER) == SHA256:
            program.say(f"using the data in {there}")
            return there / INTER
    if options.source:
        convert(*find(options.source), folder / INTER)
    else:
        fetched = small_sources.from_first(
            {URL: lambda: small_sources.fetch_from_url(URL, {MEMBER: None}, HERE / "raw")}, ADVICE
        )
        convert(SOURCES[1], fetched[MEMBER], folder / INTER)
    return folder / INTER


def find(folder):
    """Return the file name and the content (bytes) of the raw log in a folder."""
    for name in SOURCES:
        if (folder / name).is_file():
            program.say(f"converting {folder / name}")
            return name, (folder / name).read_bytes()
    raise UserError(f"{folder} contains neither {' nor '.join(SOURCES)}; {ADVICE}")


def convert(name, content, target):
    """Write the views sorted by date, session and time within the session; the timestamp is the position in this order.

    Args:
        name: the raw file's name in messages.
        content: its content (bytes).
        target: the atomic file to write.
    """
    forms = {**dict.fromkeys((0, 2, 3), small_sources.WHOLE), 4: small_sources.DATE}
    sessions, _, items, times, dates = small_sources.columns(
        content.decode(errors="replace"), name, ";", 5, forms, HEADER
    )
    order = sorted(range(len(sessions)), key=lambda row: (dates[row], int(sessions[row]), int(times[row])))
    ordered = {
        "session_id": [sessions[row] for row in order],
        "item_id": [items[row] for row in order],
        "timestamp": [str(rank) for rank in range(len(order))],
    }
    write_atomic(target, ordered, {"session_id": "token", "item_id": "token", "timestamp": "float"})


def neither_popular_nor_rare(items):
    """Return the items with 4 to 9 views, from which the synthetic categories are drawn, in ascending order.

    ``items`` is the item of each row (list of str).
    """
    candidates = sorted((item for item, count in Counter(items).items() if count in VIEWS), key=int)
    if not candidates:
        raise UserError(
            f"no item has {VIEWS.start} to {VIEWS.stop - 1} views, so the category 'middling' cannot be drawn"
        )
    return candidates


if __name__ == "__main__":
    program.run(main)
