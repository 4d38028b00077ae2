"""Prepare the data set ml-1m_receraser (MovieLens 1M in the split that RecEraser published) and its forget sets.

    python dataset/ml-1m_receraser/prepare.py              downloads the files of the split and GroupLens's users
    python dataset/ml-1m_receraser/prepare.py --from DIR   uses train.txt, test.txt and (optional) users.dat in DIR
    python dataset/ml-1m_receraser/prepare.py --subset 0.1 writes ml-1m_receraser_test with 10 % of the users

The script writes the split (ml-1m_receraser.train.inter, .valid.inter and .test.inter; .train_all.inter is training and
validation together), all rows (ml-1m_receraser.inter), the users' attributes (.user), the items of two synthetic
sensitive categories (sensitive_asins_<category>.txt, one item id per line) and the forget sets
(ml-1m_receraser_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
The category middling is for results, the category tuning for choosing hyper-parameters on other items.
The same data give the same files. The data are GroupLens's; README.md states their terms of use.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recbole.data.atomic import write_atomic
from recbole.prepare import program, small_sources, steps, user_lists
from recbole.utils import UserError

HERE = Path(__file__).resolve().parent
COMMIT = "57de48e21f1a338438bf6bd8f77fab0f4de15453"
FOLDER = f"https://raw.githubusercontent.com/chenchongthu/Recommendation-Unlearning/{COMMIT}/data/ml-1m"
SHA256 = {
    "train.txt": "c74ca36cdff687523a151f25ae24a8e93f52906d599e446625a393fdb06443d7",
    "test.txt": "0ea4825f0016fffc2b44329ef3617efbf6a3c3ba6e145c48b7a8b46b7313d5c5",
}
USERS = "users.dat"
ARCHIVE = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
CATEGORY_SEEDS = {"middling": 2024, "tuning": 2025}
COLUMNS = ("user_id", "gender", "age", "occupation", "zip_code")
GENDER = re.compile("[FM]"), "F or M"


def main():
    """Read the files of the split and the users, and write the data set with its categories and forget sets."""
    options = steps.command_line(__doc__, HERE, f"{', '.join(SHA256)} and optionally {USERS}")
    urls = {name: f"{FOLDER}/{name}" for name in SHA256}
    source = steps.source_folder(options, HERE, ", ".join(SHA256), urls, SHA256)
    content = people(options, source)
    user_lists.prepare(options, source, SHA256, CATEGORY_SEEDS, lambda path, users: write_users(path, users, content))


def people(options, source):
    """Return the content (bytes) of GroupLens's file of users, or None if the folder of ``--from`` does not have it."""
    if options.source is None:
        return next(iter(small_sources.fetch_from_url(ARCHIVE, {f"ml-1m/{USERS}": None}, HERE / "raw").values()))
    path = source / USERS
    if not path.is_file():
        program.say(f"{source} contains no {USERS}: no .user file with gender, age and occupation is written")
        return None
    return path.read_bytes()


def write_users(path, users, content):
    """Write the users' attributes to a ``.user`` file, and return its suffix in a tuple (empty if nothing is written).

    Args:
        path: the log, next to which the file is written.
        users: int64, ascending, the users of the log, who are numbered from 0; GroupLens numbers them from 1.
        content: GroupLens's file of users (bytes); None to write nothing.

    Raises:
        UserError: the file is malformed or lacks a user.
    """
    if content is None:
        return ()
    whole = small_sources.WHOLE
    forms = {0: whole, 1: GENDER, 2: whole, 3: whole}
    rows = list(zip(*small_sources.columns(content.decode("latin-1"), USERS, "::", 5, forms), strict=True))
    known = {int(row[0]) - 1: row[1:] for row in rows}
    if -1 in known and 0 not in known:
        program.say(f"{USERS} has a user 0 and no user 1: user 0 is used as user 1")
        known[0] = known[-1]
    lacking = [user for user in users.tolist() if user not in known]
    if lacking:
        raise UserError(f"{USERS} has no user {lacking[0] + 1}, who is user {lacking[0]} of the split's files")
    values = zip(*((user, *known[user]) for user in users.tolist()), strict=True)
    write_atomic(path.with_suffix(".user"), dict(zip(COLUMNS, values, strict=True)), dict.fromkeys(COLUMNS, "token"))
    return (".user",)


if __name__ == "__main__":
    program.run(main)
