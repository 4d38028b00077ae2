"""Generate raw files in the original format of each large data set, for `formats.py`.

Sizes are the published ones in ``dataset/<name>/published.yaml`` and in `FURTHER`, times a given fraction. Values are
drawn with NumPy from a fixed seed and formatted by Arrow in blocks, so that ten million rows take seconds. The activity
of users and popularity of items follow power laws. A quarter of the texts has a keyword of ``sensitive.yaml``.
"""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pyarrow import csv
from revisions import ROOT
from synthetic import SEED, zipf

from recbole.prepare.published import read_published

FURTHER = {
    "movielens": {"films": 27_278, "tags": 465_564},
    "goodreads": {"users": 876_145},
    "30music": {"tracks": 5_675_143},
    "nowp": {"interactions": 11_600_000, "users": 139_000, "sessions": 1_500_000, "tracks": 346_000},
    "dunnhumby": {"products": 92_353},
}
"""Further sizes by data set: counts that the preparation does not check. Those of nowp are guesses for one year, since
none are published."""

BLOCK = 1 << 20
"""Lines that are formatted at a time."""

SHARE_OF_KEYWORDS = 0.25
PLAIN = ("the", "a", "river", "garden", "house", "morning", "blue", "small", "day", "story", "music", "home", "light")
"""Words that are no keywords of sensitive items."""

FIRST_SECOND = 1_100_000_000
"""Earliest timestamp, in seconds since 1970."""


class Source:
    """The scaled sizes of a data set, and methods that sample its users, items and texts.

    ``source[what]`` is a size, such as ``source["users"]``; each is at least 50.

    Args:
        name: name of the data set.
        folder: folder for the generated files; created if it does not exist.
        scale: factor for the published sizes.

    Attributes:
        name, folder: as given.
        draw: NumPy's random generator, seeded by SEED and the name.
        sizes: dictionary of the scaled sizes.
        rules: content of the data set's ``sensitive.yaml``.
    """

    def __init__(self, name, folder, scale):
        self.name, self.folder = name, folder
        self.draw = np.random.default_rng([SEED, *name.encode()])
        figures = read_published(ROOT / "dataset" / name / "published.yaml").source.figures
        known = {what: figure.value for what, figure in figures.items()} | FURTHER.get(name, {})
        self.sizes = {what: max(int(count * scale), 50) for what, count in known.items()}
        rules = ROOT / "dataset" / name / "sensitive.yaml"
        self.rules = yaml.safe_load(rules.read_text(encoding="utf-8"))
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, what):
        return self.sizes[what]

    def people(self, n, users, exponent=0.75):
        """Return ``n`` user numbers (int64 below ``users``): half cover all users evenly, half follow a power law."""
        even = np.arange(n // 2) % users
        return self.draw.permutation(np.concatenate([even, zipf(self.draw, n - len(even), users, exponent)]))

    def items(self, n, items):
        """Return ``n`` item numbers (int64 below ``items``) by Zipf's law, over a random order of the items."""
        return self.draw.permutation(items)[zipf(self.draw, n, items)]

    def ids(self, field):
        """Return the ids in a field that make an item sensitive by the rules, a list of int."""
        return [one for rule in self.rules.values() for one in rule["signals"].get(field, {}).get("ids", ())]

    def phrases(self, n, field, words=4):
        """Return ``n`` texts of ``words`` words, an Arrow string array.

        A quarter of them end with a keyword that the rules list for ``field``.
        """
        signals = [rule["signals"][field] for rule in self.rules.values() if field in rule["signals"]]
        keywords = [word for own in signals for kind in ("exact", "relaxed") for word in own.get(kind, ())]
        columns = [picked(PLAIN, self.draw.integers(len(PLAIN), size=n)) for _ in range(words - 1)]
        last = self.draw.integers(len(keywords), size=n) + len(PLAIN)
        plain = self.draw.random(n) >= SHARE_OF_KEYWORDS
        columns.append(picked((*PLAIN, *keywords), np.where(plain, last % len(PLAIN), last)))
        return pc.binary_join_element_wise(*columns, " ")


# --- text ------------------------------------------------------------------------------------------------------------
def picked(words, codes):
    """Return ``words[code]`` for each of the integer ``codes``, an Arrow string array."""
    return pa.array(words, pa.string()).take(pa.array(codes))


def joined(*parts):
    """Return concatenated texts, an Arrow string array.

    Args:
        parts: Arrow or NumPy arrays of equal length, and strings that are the same in all texts.
    """
    columns = [part if isinstance(part, str) else pc.cast(pa.array(part), pa.string()) for part in parts]
    return pc.binary_join_element_wise(*columns, "")


def blocks(n):
    """Yield slices of at most BLOCK rows that together cover ``n`` rows."""
    for start in range(0, n, BLOCK):
        yield slice(start, min(start + BLOCK, n))


def number(block):
    """Return the integers of a slice, int64 [length of the slice]."""
    return np.arange(block.start, block.stop)


def write_lines(path, texts):
    """Write an iterable of Arrow string arrays to a file, one line for each string."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for lines in texts:
            ended = pc.binary_join_element_wise(lines, "\n", "")
            file.write(pc.binary_join(pa.ListArray.from_arrays([0, len(ended)], ended), "")[0].as_buffer())


def write_table(path, columns, quoting="needed", header=True):
    """Write columns, a dictionary of name to array, to a CSV file."""
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    options = csv.WriteOptions(include_header=header, quoting_style=quoting)
    csv.write_csv(table, path, options)


def clock(seconds):
    """Format timestamps (int64, seconds since 1970) as ``2005-04-02 23:53:47``; return an Arrow string array."""
    return pc.cast(pa.array(seconds.astype("datetime64[s]")), pa.string())


def seconds(draw, n):
    """Return ``n`` timestamps within ten years, int64 [n], in seconds since 1970."""
    return FIRST_SECOND + draw.integers(10 * 365 * 86_400, size=n)


# --- sources ---------------------------------------------------------------------------------------------------------
def movielens(source):
    """Write rating.csv, movie.csv and tag.csv in the format of the release on Kaggle."""
    n, films = source["interactions"], source["films"]
    user, film = source.people(n, source["users"]), source.items(n, min(source["items"], films))
    rating, time = source.draw.integers(1, 11, size=n) / 2, seconds(source.draw, n)
    write_table(
        source.folder / "rating.csv",
        {"userId": user + 1, "movieId": film + 1, "rating": rating, "timestamp": clock(time)},
    )
    title = joined(source.phrases(films, "title"), " (1995)")
    genres = source.phrases(films, "genre", words=2)
    write_table(source.folder / "movie.csv", {"movieId": np.arange(films) + 1, "title": title, "genres": genres})
    tags = source["tags"]
    tagged = {
        "userId": source.people(tags, source["users"]) + 1,
        "movieId": source.items(tags, films) + 1,
        "tag": source.phrases(tags, "tag", words=2),
        "timestamp": clock(seconds(source.draw, tags)),
    }
    write_table(source.folder / "tag.csv", tagged)


def goodreads(source):
    """Write goodreads_interactions.csv, book_id_map.csv and goodreads_books.json."""
    n, books = source["interactions"], source["items"]
    user = np.sort(source.people(n, source["users"]))
    columns = {"user_id": user, "book_id": source.items(n, books), "is_read": np.ones(n, np.int8)}
    columns |= {"rating": source.draw.integers(0, 6, size=n, dtype=np.int8), "is_reviewed": np.zeros(n, np.int8)}
    write_table(source.folder / "goodreads_interactions.csv", columns)
    own = source.draw.permutation(books) + 1
    write_table(source.folder / "book_id_map.csv", {"book_id_csv": np.arange(books), "book_id": own})

    def described():
        for block in blocks(books):
            size = block.stop - block.start
            shelves = joined(
                '[{"count":"3","name":"to-read"},{"count":"1","name":"', source.phrases(size, "shelf", 2), '"}]'
            )
            title, text = source.phrases(size, "title"), source.phrases(size, "description", words=60)
            yield joined('{"isbn":"","book_id":"', own[block], '","title":"', title, '","description":"', text,
                         '","popular_shelves":', shelves, ',"average_rating":"4.00","similar_books":[]}')  # fmt: skip

    write_lines(source.folder / "goodreads_books.json", described())


def amazon(source, category, fields):
    """Write the reviews and the item descriptions of a category.

    Args:
        source: the :class:`Source`.
        category: category in the file names.
        fields: fields in which the category's rules look for keywords.
    """
    n, products = source["interactions"], source["products"]
    user, product = source.people(n, source["users"]), source.items(n, products)
    size, time = source.draw.integers(2, size=n), seconds(source.draw, n) * 1000 + source.draw.integers(1000, size=n)

    def reviews():
        for block in blocks(n):
            rows = block.stop - block.start
            text = source.phrases(rows, fields[0], words=50)
            yield joined('{"rating":', source.draw.integers(1, 6, size=rows), '.0,"title":"Good","text":"', text,
                         '","images":[],"asin":"B', product[block], "S", size[block], '","parent_asin":"B',
                         product[block], '","user_id":"AE', user[block], '","timestamp":', time[block],
                         ',"helpful_vote":0,"verified_purchase":true}')  # fmt: skip

    def described():
        for block in blocks(products):
            texts = [source.phrases(block.stop - block.start, field, words=20) for field in fields]
            title, text, category_of, features = itertools.islice(itertools.cycle(texts), 4)
            yield joined('{"main_category":"Any","title":"', title, '","features":["', features, '"],"description":["',
                         text, '"],"price":1.0,"store":null,"categories":["', category_of,
                         '"],"details":{"Brand":"X"},"parent_asin":"B', number(block), '"}')  # fmt: skip

    write_lines(source.folder / f"{category}.jsonl", reviews())
    write_lines(source.folder / f"meta_{category}.jsonl", described())


def amazon_reviews_grocery_and_gourmet_food(source):
    """Write reviews and item descriptions of Grocery_and_Gourmet_Food."""
    amazon(source, "Grocery_and_Gourmet_Food", ("text",))


def amazon_reviews_books(source):
    """Write reviews and item descriptions of Books."""
    amazon(source, "Books", ("title", "description", "category", "features"))


def sessions_of(source):
    """Return the number of plays of each session, int64 [sessions]: at least one, and ``interactions`` in total."""
    n, sessions = source["interactions"], source["sessions"]
    return 1 + np.bincount(source.draw.integers(sessions, size=max(n - sessions, 0)), minlength=sessions)


def music30(source):
    """Write relations/sessions.idomaar and entities/tracks.idomaar."""
    plays, tracks = sessions_of(source), source["tracks"]
    user = source.people(len(plays), source["users"])
    track = source.items(int(plays.sum()), tracks)
    ends, time = np.concatenate([[0], np.cumsum(plays)]), seconds(source.draw, len(plays))

    def sessions():
        for start in range(0, len(plays), BLOCK // 8):
            stop = min(start + BLOCK // 8, len(plays))
            first, last = ends[start], ends[stop]
            place = np.arange(first, last) - np.repeat(ends[start:stop], plays[start:stop])
            each = joined('{"type":"track","id":', track[first:last] + 1, ',"playstart":', place * 200,
                          ',"playtime":200,"playratio":1.0,"action":"play","playlist":null}')  # fmt: skip
            lists = pa.ListArray.from_arrays(pa.array(ends[start : stop + 1] - first, pa.int32()), each)
            yield joined("event.session\t", np.arange(start, stop), "\t", time[start:stop], '\t{"numtracks":',
                         plays[start:stop], ',"playtime":200} {"subjects":[{"type":"user","id":', user[start:stop] + 1,
                         '}],"objects":[', pc.binary_join(lists, ","), "]}")  # fmt: skip

    def described():
        wanted = source.ids("tag")
        for block in blocks(tracks):
            size = block.stop - block.start
            tag = np.where(source.draw.random(size) < 0.05, source.draw.choice(wanted, size), 9)
            linked = '"}\t{"artists":[{"type":"person","id":1}],"albums":[],"tags":[{"type":"tag","id":'
            yield joined("track\t", number(block) + 1, '\t-1\t{"duration":-1,"playcount":9,"name":"',
                         picked(PLAIN, source.draw.integers(len(PLAIN), size=size)), linked, tag, "}]}")  # fmt: skip

    write_lines(source.folder / "relations" / "sessions.idomaar", sessions())
    write_lines(source.folder / "entities" / "tracks.idomaar", described())


def nowp(source):
    """Write sessions_2018.csv, without a header, with single quotes around texts."""
    plays, tracks = sessions_of(source), source["tracks"]
    session = np.repeat(np.arange(len(plays)), plays)
    user = source.people(len(plays), source["users"])[session]
    time = seconds(source.draw, len(plays))[session] + 200 * np.arange(len(session)) % 86_400
    track, titles = source.items(len(session), tracks), source.phrases(tracks, "text")

    def lines():
        for block in blocks(len(session)):
            own = track[block]
            yield joined(user[block], ",'App',", clock(time[block]), ",'", titles.take(pa.array(own)), "','Artist',mb-",
                         own, ",", session[block])  # fmt: skip

    write_lines(source.folder / "sessions_2018.csv", lines())


def instacart(source):
    """Write orders.csv, order_products__prior.csv, order_products__train.csv and products.csv."""
    n_orders, users, products, n = (source[what] for what in ("orders", "users", "products", "interactions"))
    user = np.sort(source.people(n_orders, users, exponent=0.4))
    number = np.arange(n_orders) - np.searchsorted(user, user) + 1
    last = np.append(user[1:] != user[:-1], True)
    kind = np.where(last, np.where(user % 11 < 7, 1, 2), 0)
    columns = {"order_id": source.draw.permutation(n_orders) + 1, "user_id": user + 1}
    columns |= {"eval_set": picked(("prior", "train", "test"), kind), "order_number": number}
    columns |= {"order_dow": number % 7, "order_hour_of_day": number % 24, "days_since_prior_order": number % 31}
    write_table(source.folder / "orders.csv", columns)
    for name, which in (("prior", 0), ("train", 1)):
        orders = columns["order_id"][kind == which]
        filled = int(np.sum(kind < 2))
        size = 1 + source.draw.poisson(max(n / filled - 1, 0), len(orders))
        order = np.repeat(orders, size)
        place = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size) + 1
        rows = {"order_id": order, "product_id": source.items(len(order), products) + 1, "add_to_cart_order": place}
        write_table(source.folder / f"order_products__{name}.csv", rows | {"reordered": place % 2})
    aisles = np.append(source.ids("aisle"), np.arange(1, 135))
    described = {"product_id": np.arange(products) + 1, "product_name": picked(PLAIN, np.arange(products) % len(PLAIN))}
    described |= {"aisle_id": source.draw.choice(aisles, products), "department_id": np.arange(products) % 21 + 1}
    write_table(source.folder / "products.csv", described)


def dunnhumby(source):
    """Write transaction_data.csv and product.csv."""
    n, baskets, products = source["interactions"], source["baskets"], source["products"]
    basket = np.sort(source.people(n, baskets, exponent=0.3))
    household, day = (
        source.people(baskets, source["users"], exponent=0.4)[basket],
        np.sort(source.draw.integers(1, 712, baskets)),
    )
    product = source.draw.permutation(10 * products)[:products]
    columns = {"household_key": household + 1, "BASKET_ID": basket + 26_984_851_472, "DAY": day[basket]}
    columns |= {"PRODUCT_ID": product[source.items(n, products)], "QUANTITY": np.ones(n, np.int8)}
    columns |= {
        "SALES_VALUE": source.draw.integers(1, 900, n) / 100,
        "STORE_ID": basket % 500,
        "TRANS_TIME": basket % 2400,
    }
    write_table(source.folder / "transaction_data.csv", columns)
    described = {
        "PRODUCT_ID": product,
        "MANUFACTURER": product % 6000,
        "BRAND": picked(("National", "Private"), product % 2),
    }
    described |= {
        "DEPARTMENT": source.phrases(products, "department", 2),
        "COMMODITY_DESC": source.phrases(products, "commodity", 2),
    }
    write_table(source.folder / "product.csv", described)


FORMATS = {
    "dunnhumby": dunnhumby, "amazon_reviews_grocery_and_gourmet_food": amazon_reviews_grocery_and_gourmet_food,
    "nowp": nowp, "amazon_reviews_books": amazon_reviews_books, "movielens": movielens, "instacart": instacart,
    "goodreads": goodreads, "30music": music30,
}  # fmt: skip
"""Data set to the function that writes its raw files, the smallest data set first."""


def write_raw(name, folder, scale):
    """Write the raw files of a data set into a folder, with ``scale`` times the published sizes."""
    FORMATS[name](Source(name, Path(folder), scale))
