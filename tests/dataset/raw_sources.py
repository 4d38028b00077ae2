"""Small raw files in the format of each large data set's source, and the expected results of preparing them.

Each builder fills a folder and returns `Expected`. Rows that the preparation must keep are known by construction, so
that the tests do not repeat its computations. The files contain them shuffled, among rows that it must drop.
"""

import gzip
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

CF_HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
SBR_HEADER = "user_id:token\tsession_id:token\titem_id:token\ttimestamp:float"
BOOKS_HEADER = "user_id:token\tsession_id:token\titem_id:token\trating:float\ttimestamp:float"


@dataclass
class Expected:
    """The files that a preparation must write.

    Attributes:
        data: content of the main file.
        lists: dictionary of category to its items.
        requests: dictionary of category to the rows of its largest forget set, and the users who may be in it.
    """

    data: str
    lists: dict
    requests: dict = field(default_factory=dict)


def table(header, rows):
    return "".join("\t".join(map(str, row)) + "\n" for row in [header.split("\t"), *rows])


def shuffled(rows):
    return random.Random(1).sample(rows, len(rows))


def write_text(path, *lines, end="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(line + end for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def clock(seconds):
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def movielens(folder):
    """61 users rated 166 films: 10,126 rows. Film 20 and user 999 have too few ratings."""
    start = 1112486027  # MovieLens 20M's first line: 1,2,3.5,"2005-04-02 23:53:47"
    films = [1, 2, 3, 4, 5, 6, *range(100, 260)]
    kept = [
        (user, film, "3.5" if film == 2 else "4", start + user + 3600 * at)
        for user in range(1, 62)
        for at, film in enumerate(films)
    ]
    few = [(1, 20, "5.0", start), (2, 20, "5.0", start), *((999, film, "1.0", start) for film in films[:4])]
    rows = shuffled(kept + kept[:3] + few)
    lines = [f'{user},{film},{float(rating)},"{clock(time)}"' for user, film, rating, time in rows]
    write_text(folder / "rating.csv", '"userId","movieId","rating","timestamp"', *lines)
    write_text(
        folder / "movie.csv.gz",
        '"movieId","title","genres"',
        '1,"Toy Story (1995)","Adventure|Animation"',
        '2,"Murder, The ""Great"" (1998)","Crime|Drama"',
        '3,"Éwar the Warm-Hearted (1999)","War"',  # "war" is no whole word in the title; only the genre matches
        '4,"Insane! (2000)","(no genres listed)"',
        '5,"Hostel: Part II (2007)","Horror"',
        '6,"Nude, with Violin (1964)",""',
        '20,"Rare Murder (1998)","Crime"',
    )
    write_text(
        folder / "tag.csv",
        '"userId","movieId","tag","timestamp"',
        '18,1,"violent","2009-04-24 18:19:40"',
        '18,5,"GORY\nand loud","2009-04-24 18:19:41"',
        '18,5,,"2009-04-24 18:19:42"',
    )
    lists = {"violence": [2, 5], "extreme_violence": [5], "health": [4], "explicit": [6]}
    return Expected(table(CF_HEADER, kept), lists, {"health": (1, {str(user) for user in range(1, 62)})})


def goodreads(folder):
    """Ratings and descriptions use different book ids, which overlap: 11 is Goodreads's 10, and 10 is its 77."""
    books = [10, 11, 12, 13, 14, 2]
    rows = [(user, book, 5 if book == 2 else 3) for user in (0, 2, 10, 1, 3) for book in books]
    rows[7:7] = [(0, 99, 2), (0, 98, 0)]
    lines = [f"{user},{book},{int(rating > 0)},{rating},0" for user, book, rating in rows]
    write_text(folder / "goodreads_interactions.csv", "user_id,book_id,is_read,rating,is_reviewed", *lines)
    pairs = [(10, 77), (11, 10), (12, 11), (13, 12), (14, 900), (2, 901)]
    write_text(folder / "book_id_map.csv", "book_id_csv,book_id", *(f"{csv},{own}" for csv, own in pairs))
    described = [
        {"book_id": "10", "title": "Living with GRIEF", "description": None, "popular_shelves": [
            {"count": "3", "name": "to-read"}, {"count": "1", "name": "mental-health-depression"}]},
        {"book_id": "11", "title": "The Gunsmith", "description": "A murder.", "popular_shelves": [], "isbn": ""},
        {"book_id": "12", "title": "Adults", "description": "", "popular_shelves": [{"count": "1", "name": "trauma"}]},
        {"book_id": "999", "title": "Depression", "description": "Anxiety", "popular_shelves": []},
    ]  # fmt: skip
    write_text(folder / "goodreads_books.json.gz", *map(json.dumps, described))
    kept = [(*row, at) for at, row in enumerate(rows) if row[2] >= 3]
    kept.sort(key=lambda row: row[0])
    return Expected(table(CF_HEADER, kept), {"mental_health": [11], "violence": [12], "explicit": [13]})


def review(user, asin, parent, rating, time):
    return json.dumps({
        "rating": rating, "title": "Nice \"one\"", "text": "line\nbreak, é", "images": [], "asin": asin,
        "parent_asin": parent, "user_id": user, "timestamp": time, "helpful_vote": 0, "verified_purchase": True,
    })  # fmt: skip


def amazon_reviews_grocery_and_gourmet_food(folder):
    """Asins 000101 and B2 are two sizes of one product; leading zeros of ids must be kept."""
    asins = {"000101": "P1", "B2": "P1", "B3": "P3", "B4": "P4", "B5": "P5"}
    kept = [
        (f"AE{user}", asin, 1, 1588687728923 + 1000 * user + at)
        for user in range(5)
        for at, asin in enumerate(sorted(asins, reverse=user % 2))
    ]
    rows = shuffled([*kept, kept[0], ("AE0", "B9", 2, 5)])
    write_text(
        folder / "Grocery_and_Gourmet_Food.jsonl.gz",
        *(review(user, asin, asins.get(asin, "P9"), float(rating), time) for user, asin, rating, time in rows),
    )
    meta = [
        {"main_category": None, "title": "Jerky", "features": ["Real Beef!"], "description": [], "parent_asin": "P1"},
        {"main_category": "Grocery", "title": "Ginger beer-battered", "details": {"Brand": "X"}, "parent_asin": "P3"},
        {"title": "Gingerbread", "details": {"Notes": "no ale", "Size": ["1", None]}, "parent_asin": "P4"},
        {"title": "Pilsner glass", "store": None, "categories": ["Home"], "parent_asin": "P5"},
        {"title": "Ham", "parent_asin": "P9"},
    ]
    write_text(folder / "meta_Grocery_and_Gourmet_Food.jsonl.gz", *map(json.dumps, meta))
    lists = {"meat": ["000101", "B2"], "alcohol": ["B3", "B5"]}
    return Expected(table(CF_HEADER, kept), lists)


def amazon_reviews_books(folder):
    """A pause of exactly an hour does not end a session, a longer one does; the 5-core is applied before that."""
    pauses = [0, 3600_000, 3600_001, 5, 9_999_999]
    kept = []
    for user in range(5):
        time, session = 10**12, 0
        for pause, asin in zip(pauses, ["1", "2", "3", "4", "5"], strict=True):
            time, session = time + pause, session + (pause > 3600_000)
            kept.append((f"U{user}", f"U{user}_session_{session}", asin, 4.5 if user else 4, time))
    rare = [("U0", "", "6", 5, 10**12 + 3600_000 + 1)]  # an item outside of the 5-core between two sessions
    rows = shuffled([*kept, kept[1], *rare])
    lines = [review(user, asin, f"P{asin}", rating, time) for user, _, asin, rating, time in rows]
    write_text(folder / "Books.jsonl", *lines)
    meta = [
        {"parent_asin": "P1", "title": "On Suicide", "description": ["Grief", "therapy"], "categories": ["Books"]},
        {"parent_asin": "P2", "title": "Peace", "categories": ["Books", "War"], "features": ["assault rifles"]},
        {"parent_asin": "P3", "title": "Young Adult", "details": None},
        {"parent_asin": "P4", "title": "Killing time", "features": ["killer"]},
    ]
    write_text(folder / "meta_Books.jsonl.gz", *map(json.dumps, meta))
    lists = {"health": [1], "violence": [2], "explicit": [3]}
    users = {f"U{user}" for user in range(5)}
    return Expected(table(BOOKS_HEADER, kept), lists, {"health": (1, users)})


def music30(folder):
    """User 7 may be in a forget set, with three sensitive plays and three others.

    User 12 has only two sensitive plays, and user 100 has no others.
    """
    plays = {
        (7, 50): (1390231051, [(2, 0), (3, 10), (2, 20), (4, 30), (3, 40), (3, 50.7)]),
        (12, 51): (1390000000, [(2, 0), (2, None), (4, 5), (4, 6), (4, 7)]),
        (100, 53): (1380000000, [(3, 0), (2, 1), (3, 2)]),
        (7, 49): (1390000000, [(4, 0), (4, 9)]),
    }
    lines = ['event.session\t1\t1390000000\t{"numtracks":0,"playtime":1} {"subjects":[],"objects":[]}']
    for (user, session), (time, tracks) in plays.items():
        linked = {
            "subjects": [{"type": "user", "id": user}],
            "objects": [
                {"type": "track", "id": track, "playstart": at, "playtime": 3, "playratio": None, "action": "play"}
                for track, at in tracks
            ],
        }
        both = [{"numtracks": len(tracks), "playtime": 99}, linked]
        texts = " ".join(json.dumps(part, separators=(",", ":")) for part in both)
        lines.append(f"event.session\t{session}\t{time}\t{texts}")
    write_text(folder / "relations/sessions.idomaar", *lines)
    tracks = [
        (2, "Ta{b} \\t} {", [15345, 9]),
        (3, "Ünder", [59294, 77138]),
        (4, 'He said {"tags":"x"}', []),
        (5, "x", [15345]),
    ]
    lines = []
    for track, name, tags in tracks:
        properties = {"duration": -1, "MBID": None, "name": name}
        linked = {
            "artists": [{"type": "person", "id": 1}],
            "albums": [],
            "tags": [{"type": "tag", "id": t} for t in tags],
        }
        lines.append(f"track\t{track}\t-1\t{json.dumps(properties)}\t{json.dumps(linked)}")
    write_text(folder / "entities/tracks.idomaar.gz", *lines)
    kept = [
        (user, session, track, time + int(at or 0))
        for (user, session), (time, tracks) in sorted(plays.items())
        for track, at in tracks
    ]
    return Expected(table(SBR_HEADER, kept), {"health": [2, 3], "explicit": [3]}, {"health": (5, {"7"})})


def nowp(folder):
    """A track is judged by its first title. One line is repeated; plays without a time or track are dropped."""
    kept = [
        ("a1", "9", "mb-1", 1517722773), ("a1", "9", "mb-2", 1517722800), ("a1", "9", "mb-1", 1517722900),
        ("b2", "10", "mb-3", 1517722773), ("b2", "10", "mb-4", 1517722774),
    ]  # fmt: skip
    titles = {"mb-1": "'Don''t, Die'", "mb-2": "'Soldier'", "mb-3": "Assassin", "mb-4": "'Sex Drugs'"}
    lines = [f"{user},'App, for x',{clock(time)},{titles[mb]},'O''Name',{mb},{s}" for user, s, mb, time in kept]
    late = f"c3,web,{clock(1517700000)},'Kill',X,mb-2,11"
    write_text(
        folder / "sessions_2018.csv",
        *lines,
        lines[1],
        late,
        "b2,web,soon,'Late',X,mb-3,10",
        f"b2,web,{clock(1517722775)},'Die',X,,10",
    )
    kept.append(("c3", "11", "mb-2", 1517700000))
    lists = {"health": ["mb-1"], "explicit": ["mb-4"], "violence": ["mb-1"]}
    return Expected(table(SBR_HEADER, kept), lists, {"health": (2, {"a1"})})


def instacart(folder):
    """Of forty users the first four have sensitive orders, and of these user 1 has only two orders.

    In the others' orders except the last ones, product 20 is bought 17 times, 31 and 40 less often. The last orders
    contain product 31.
    """
    orders, prior, train, kept = [], [], [], {}
    for user in range(1, 41):
        for number in range(1, 3 if user == 1 else 10):
            order = 1000 - 20 * user + number
            last = number == 9
            few = user == 2 and number < 6
            with_31 = last or not (few or (user, number) == (3, 1))
            products = [40] if number == 3 else [30, 10] + [20] * (not few) + [31] * with_31
            orders.append(
                f"{order},{user},{'train' if last else 'prior'},{number},2,08,{'' if number == 1 else '15.0'}"
            )
            (train if last else prior).extend(f"{order},{own},{at},1" for at, own in enumerate(products, 1))
            if 2 <= user <= 4 and number != 3:
                kept.setdefault(str(user), []).append([own for own in products if own != 31])
    orders.append("5000,2,test,10,2,08,1.0")
    again = [f"{1000 - 20 * user + 4},10,9,0" for user in (2, 3, 4)]  # repeated in a basket
    names = "order_id,product_id,add_to_cart_order,reordered"
    write_text(folder / "orders.csv.gz",
               "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order",
               *shuffled(orders))  # fmt: skip
    write_text(folder / "order_products__prior.csv", names, *shuffled(prior + again))
    write_text(folder / "order_products__train.csv", names, *shuffled(train))
    write_text(folder / "products.csv", "product_id,product_name,aisle_id,department_id",
               '10,"Beef ""Prime"", sliced",122,12', "20,Ale,27,5", "30,Diapers,56,18", "40,Gin,124,5",
               "31,Wipes,82,18")  # fmt: skip
    return Expected(merged(kept), {"meat": [10], "alcohol": [20], "baby": [30]})


def dunnhumby(folder):
    """Baskets are sorted by day before time of day.

    A household with three baskets is dropped, and a product that is repeated in a basket counts once.
    """
    baskets = {  # household: (basket, day, time, products)
        2: [(90, 1, 2000, [7, 8]), (80, 2, 800, [5]), (70, 2, 900, [8, 7, 8]), (60, 30, 5, [9]), (61, 31, 1, [7])],
        10: [(27601281299, 4, 1, [7]), (51, 4, 1, [9]), (53, 5, 0, [7, 9]), (54, 6, 0, [7, 6]), (55, 7, 0, [7])],
        3: [(40, 1, 1, [7]), (41, 2, 1, [5]), (42, 3, 1, [7])],
    }
    lines = [
        f"{own},{basket},{day},{product},1,1.39,364,-0.6,{time:04},1,0,0"
        for own, listed in baskets.items()
        for basket, day, time, products in reversed(listed)
        for product in products
    ]
    write_text(
        folder / "transaction_data.csv",
        "household_key,BASKET_ID,DAY,PRODUCT_ID,QUANTITY,SALES_VALUE,STORE_ID,RETAIL_DISC,TRANS_TIME,WEEK_NO,"
        "COUPON_DISC,COUPON_MATCH_DISC",
        *lines,
        end="\r\n",
    )
    write_text(
        folder / "product.csv",
        "PRODUCT_ID,MANUFACTURER,DEPARTMENT,BRAND,COMMODITY_DESC,SUB_COMMODITY_DESC,CURR_SIZE_OF_PRODUCT",
        "5,69,GROCERY,National,BEERS/ALES,BEERALEMALT LIQUORS,22 OZ",
        '6,69,SPIRITS,National,"LIQUOR, MISC",X,',
        "7,69,GROCERY,Private,SALES ITEMS,WINE VINEGAR, ",
        "8,69, ,Private, , , ",
        end="\r\n",
    )
    kept = {"2": [[7, 8], [5], [8, 7], [9], [7]], "10": [[9], [7], [7, 9], [7, 6], [7]]}
    return Expected(merged(kept), {"alcohol": [5, 6]}, {"alcohol": (1, {"2", "10"})})


def merged(users):
    return "{\n" + ",\n".join(f"{json.dumps(user)}: {json.dumps(own)}" for user, own in users.items()) + "\n}\n"


BUILDERS = {
    "movielens": movielens,
    "goodreads": goodreads,
    "amazon_reviews_grocery_and_gourmet_food": amazon_reviews_grocery_and_gourmet_food,
    "amazon_reviews_books": amazon_reviews_books,
    "30music": music30,
    "nowp": nowp,
    "instacart": instacart,
    "dunnhumby": dunnhumby,
}
NEXT_BASKET = ("instacart", "dunnhumby")
