"""Prepare the data set nowp (#nowplaying's listening sessions) and its forget sets.

    python dataset/nowp/prepare.py --from DIR

DIR contains sessions_2018.csv, plain or as .gz (README.md says where to get it). The script writes nowp.inter, the
tracks of each sensitive category (sensitive_asins_<category>.txt) and the forget sets
(nowp_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.prepare import program, steps
from recbole.prepare.raw_files import find
from recbole.prepare.raw_table import RawTable
from recbole.prepare.sensitive_rules import SensitiveRules
from recbole.prepare.table_readers import read_csv

HERE = Path(__file__).resolve().parent
WANTED = "sessions_2018.csv"
COLUMNS = ("user", "source", "time", "title", "artist", "musicbrainz_id", "session_id")
NEEDED = {"user_id": "user", "session_id": "session_id", "item_id": "musicbrainz_id", "timestamp": "time"}
TOKENS = ("user", "session_id", "musicbrainz_id")
TIME = "%Y-%m-%d %H:%M:%S"


def main():
    """Convert the plays, find the sensitive tracks, and write the data set and its forget sets."""
    options = steps.command_line(__doc__, HERE, WANTED)
    source = steps.source_folder(options, HERE, WANTED)
    first_texts = []
    log = RawTable.collect(plays(source, first_texts), ("user_id", "session_id", "item_id"), ("timestamp",))
    read = log.counts()
    log = log.distinct().ordered()
    categories = steps.shared_items(sensitive_tracks(first_texts), log.items(), HERE / "sensitive.yaml")
    steps.write_log(options, "SBR", log, categories, read)


def plays(source, first_texts):
    """Yield the plays without missing values in blocks, as record batches, with times in seconds since 1970, UTC.

    For each block, a pair of Arrow arrays is appended to the list ``first_texts``: the distinct tracks, and the text
    (title and artist) of the first play of each.
    """
    n_incomplete = 0
    types = dict.fromkeys(COLUMNS, pa.string())
    path = find(source, WANTED)
    for batch in read_csv(path, types, optional=COLUMNS, names=COLUMNS, quote="'", tokens=TOKENS):
        time = pc.strptime(batch["time"], TIME, "s", error_is_null=True)
        columns = {name: batch[column] for name, column in NEEDED.items()} | {"timestamp": pc.cast(time, pa.int64())}
        text = pc.binary_join_element_wise(batch["title"], batch["artist"], " ", null_handling="replace")
        table = pa.record_batch(columns | {"text": text})
        first_texts.append(first_of_each(table["item_id"], text))
        complete = table.drop_null()
        n_incomplete += len(table) - len(complete)
        yield complete
    if n_incomplete:
        program.say(f"{n_incomplete:,} plays without a user, a track, a session or a time are left out")


def first_of_each(tracks, texts):
    """Return the distinct tracks, without nulls, and the text of the first row of each, as Arrow arrays."""
    known = pc.is_valid(tracks)
    tracks, texts = tracks.filter(known), texts.filter(known)
    _, first = np.unique(tracks.dictionary_encode().indices.to_numpy(), return_index=True)
    return tracks.take(pa.array(first)), texts.take(pa.array(first))


def sensitive_tracks(first_texts):
    """Return a dict from each sensitive category to its tracks, found by title and artist of a track's first play.

    ``first_texts`` is the list of pairs from `plays`.
    """
    blocks = [pa.concat_arrays(part) for part in zip(*first_texts, strict=True)]
    tracks, texts = first_of_each(*blocks)
    rules = SensitiveRules(HERE / "sensitive.yaml")
    rules.look(tracks, text=texts)
    return rules.items()


if __name__ == "__main__":
    program.run(main)
