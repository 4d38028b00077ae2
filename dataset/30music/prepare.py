"""Prepare the data set 30music (30Music's listening sessions) and its forget sets.

    python dataset/30music/prepare.py --from DIR

DIR is the unpacked archive, with relations/sessions.idomaar and entities/tracks.idomaar, plain or as .gz (README.md
says where to get it). The script writes 30music.inter, the tracks of each sensitive category
(sensitive_asins_<category>.txt) and the forget sets
(30music_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.config.layers import packaged
from recbole.prepare import program, steps
from recbole.prepare.raw_files import find
from recbole.prepare.raw_table import RawTable
from recbole.prepare.sensitive_rules import SensitiveRules
from recbole.prepare.table_readers import read_idomaar

HERE = Path(__file__).resolve().parent
WANTED = "relations/sessions.idomaar and entities/tracks.idomaar"
IDS = pa.list_(pa.struct({"id": pa.int64()}))
SESSION = pa.schema({"subjects": IDS, "objects": pa.list_(pa.struct({"id": pa.int64(), "playstart": pa.float64()}))})
TRACK = pa.schema({"tags": IDS})
PROPERTIES = packaged(f"dataset/{HERE.name}.yaml").values
ELIGIBLE = {key: PROPERTIES[key] for key in ("min_sensitive", "min_remaining")}


def main():
    """Convert the sessions, find the sensitive tracks, and write the data set and its forget sets."""
    options = steps.command_line(__doc__, HERE, WANTED)
    source = steps.source_folder(options, HERE, WANTED)
    rules = SensitiveRules(HERE / "sensitive.yaml")
    for batch in read_idomaar(find(source, "entities/tracks.idomaar"), TRACK):
        tags = batch["tags"]
        rules.look(batch["id"], tag=pa.ListArray.from_arrays(tags.offsets, pc.struct_field(tags.values, "id")))
    read = {"interactions": 0, "sessions": 0}
    log = RawTable.collect(plays(source, read), ("user_id", "session_id", "item_id"), ("timestamp",)).ordered()
    read = log.counts() | read
    categories = steps.shared_items(rules.items(), log.items(), HERE / "sensitive.yaml")
    steps.write_log(options, "SBR", log, categories, read, **ELIGIBLE)


def plays(source, read):
    """Yield the played tracks in blocks, as dicts of Arrow arrays.

    The time of a play is the start of its session plus the track's start within the session (seconds since 1970, UTC).
    Sessions without a user are left out.

    Args:
        source: the folder with the raw files.
        read: a dict whose numbers of ``interactions`` and ``sessions`` are increased, also by those left out.
    """
    n_without_user = 0
    for batch in read_idomaar(find(source, "relations/sessions.idomaar"), SESSION):
        known = pc.fill_null(pc.greater(pc.list_value_length(batch["subjects"]), 0), False)
        read["sessions"] += len(batch)
        read["interactions"] += len(batch["objects"].flatten())
        n_without_user += len(batch) - pc.sum(known).as_py()
        sessions = batch.filter(known)
        tracks = sessions["objects"]
        session = pc.list_parent_indices(tracks)
        track = tracks.flatten()
        start = pc.fill_null(pc.struct_field(track, "playstart"), 0).to_numpy(zero_copy_only=False)
        time = sessions["time"].to_numpy()[session.to_numpy()]
        yield {
            "user_id": pc.struct_field(pc.list_element(sessions["subjects"], 0), "id").take(session),
            "session_id": sessions["id"].take(session),
            "item_id": pc.struct_field(track, "id"),
            "timestamp": pa.array(time + np.floor(start).astype(np.int64)),
        }
    if n_without_user:
        program.say(f"{n_without_user:,} sessions without a user are left out")


if __name__ == "__main__":
    program.run(main)
