"""Mistakes in the files of `raw_sources` and in options, and the expected error messages.

``MISTAKES`` is a list of (data set, file, function that changes its content or None for a missing file, part of the
message). ``OPTIONS`` is a list of (data set, options, part of the message).
"""

import gzip
import re


def replaced(old, new):
    return lambda content: content.replace(old, new, 1)


def changed(pattern, new):
    return lambda content: re.sub(pattern, new, content, count=1)


def zipped(content):
    return lambda _: gzip.compress(content)


def cut_off(content):
    return content[: len(content) // 2]


def damaged(content):
    return content[:20] + bytes(40) + content[60:]


REVIEW_END = rb": 1000000000000\b"
ORDERS = b"order_id,user_id,eval_set,order_number\n"
MISTAKES = [
    (
        "movielens",
        "rating.csv",
        replaced(b"movieId", b"movie_id"),
        "rating.csv:1: there is no column 'movieId', did you",
    ),
    ("movielens", "rating.csv", replaced(b"4.0,", b""), ": expected 4 values, found 3"),
    ("movielens", "rating.csv", replaced(b"4.0", b"four"), ": column 'rating': 'four' is not a number"),
    ("movielens", "rating.csv", replaced(b"2005-04-03 ", b"3 April "), "is not a time"),
    ("movielens", "rating.csv", replaced(b",4.0,", b",,"), ": column 'rating': the value is missing"),
    ("movielens", "rating.csv", lambda content: b"", "rating.csv: empty file, expected a header with userId, movieId"),
    ("movielens", "rating.csv", lambda content: content[:40], "rating.csv: no rows"),
    ("movielens", "movie.csv.gz", cut_off, "movie.csv.gz:"),
    ("movielens", "movie.csv.gz", damaged, "the compressed file is damaged here"),
    ("movielens", "tag.csv", None, "contains no tag.csv or tags.csv (plain, or as .gz)"),
    (
        "goodreads",
        "goodreads_interactions.csv",
        replaced(b"10,11,1,3,0", b"10,11,1,3.5,0"),
        "'3.5' is not a whole number",
    ),
    (
        "goodreads",
        "goodreads_interactions.csv",
        replaced(b"10,11", b"10,1\xff1"),
        "goodreads_interactions.csv:17: not UTF-8",
    ),
    (
        "goodreads",
        "book_id_map.csv",
        replaced(b"\n10,77\n11,10", b"\n10,78\n15,10"),
        "category 'mental_health': none of its 1 items is among the 6",
    ),
    (
        "amazon_reviews_books",
        "Books.jsonl",
        replaced(b'{"rating": 4.5', b'{"rating": "4.5"'),
        "'rating' is \"4.5\", expected",
    ),
    ("amazon_reviews_books", "Books.jsonl", replaced(b'"asin": ', b'"ASIN": '), "Books.jsonl:1: 'asin' is missing"),
    ("amazon_reviews_books", "Books.jsonl", cut_off, "not JSON"),
    (
        "amazon_reviews_books",
        "meta_Books.jsonl.gz",
        cut_off,
        "the compressed file is truncated here; download it again",
    ),
    ("30music", "relations/sessions.idomaar", replaced(b"} {", b"},{"), "sessions.idomaar:1: expected kind, id, time"),
    ("30music", "relations/sessions.idomaar", replaced(b'"id":7}', b'"id":"7"}'), "sessions.idomaar:2: "),
    ("30music", "relations/sessions.idomaar", replaced(b'"id":7}', b'"id":7'), "sessions.idomaar:2: "),
    ("nowp", "sessions_2018.csv", replaced(b",9\n", b"\n"), "sessions_2018.csv:1: expected 7 values, found 6"),
    (
        "instacart",
        "order_products__train.csv",
        replaced(b"order_id", b"order"),
        "train.csv:1: there is no column 'order_id'",
    ),
    (
        "nowp",
        "sessions_2018.csv",
        replaced(b",mb-1,9", b",mb\t1,9"),
        "csv:1: column 'musicbrainz_id': 'mb\\t1' contains a tab",
    ),
    ("dunnhumby", "product.csv", replaced(b"SPIRITS", b'"SPIRITS'), "product.csv:"),
    ("movielens", "rating.csv", replaced(b"4.0", b"nan"), ": column 'rating': nan is not a finite number"),
    ("movielens", "rating.csv", replaced(b"4.0", b"-inf"), ": column 'rating': -inf is not a finite number"),
    ("movielens", "rating.csv", replaced(b'00"', b'00.5"'), "is not a time such as 2005-04-02 23:53:47"),
    ("movielens", "rating.csv", replaced(b'00"', b'00Z"'), "is not a time such as 2005-04-02 23:53:47"),
    ("movielens", "rating.csv", replaced(b'"rating"', b'"movieId"'), "rating.csv:1: the column 'movieId' occurs twice"),
    ("movielens", "rating.csv", replaced(b",4.0", b'\t1",4.0'), "rating.csv:"),
    (
        "goodreads",
        "goodreads_interactions.csv",
        replaced(b"10,11,1,3,0", b"10,11,1,+3,0"),
        ".csv:17: column 'rating': '+3' is not a whole number",
    ),
    (
        "goodreads",
        "goodreads_interactions.csv",
        replaced(b"10,11,1,3,0", b"10,11,1,12345678901234567890,0"),
        ".csv:17: column 'rating': '12345678901234567890' is not a whole number",
    ),
    ("amazon_reviews_books", "Books.jsonl", replaced(b'"rating": 4.5', b'"rating": NaN'), "nan is not a finite number"),
    ("amazon_reviews_books", "Books.jsonl", changed(REVIEW_END, b": 1" + b"0" * 24), "' is 1000000"),
    (
        "amazon_reviews_books",
        "Books.jsonl",
        changed(REVIEW_END, b": 1677939345945.0"),
        "' is 1677939345945.0, expected int",
    ),
    (
        "amazon_reviews_books",
        "Books.jsonl",
        changed(rb'"user_id": "\w+"', b'"user_id": ""'),
        ".jsonl:1: column 'user_id': th",
    ),
    (
        "amazon_reviews_books",
        "Books.jsonl",
        changed(rb'"user_id": "\w+"', rb'"user_id": "\\ud83d"'),
        "is an unpaired surrogate",
    ),
    (
        "amazon_reviews_books",
        "Books.jsonl",
        replaced(b'"text": "', rb'"text": "\ud83d'),
        "'\\ud83d' is an unpaired surrogate",
    ),
    (
        "amazon_reviews_books",
        "Books.jsonl",
        changed(rb'"user_id": "', b'"user_id": "\\\\t'),
        "contains a tab or a line",
    ),
    (
        "amazon_reviews_books",
        "meta_Books.jsonl.gz",
        zipped(b'{"parent_asin": 5}\n'),
        "gz:1: 'parent_asin' is 5, expected",
    ),
    (
        "amazon_reviews_books",
        "meta_Books.jsonl.gz",
        zipped(b'{"title": "\\uD83D"}\n'),
        "gz:1: '\\ud83d' is an unpaired surrogate",
    ),
    (
        "amazon_reviews_books",
        "meta_Books.jsonl.gz",
        zipped(b'\n{"title": ' + b"[" * 10**5 + b"]" * 10**5 + b"}\n"),
        "gz:2: the JSON is nested too deeply",
    ),
    (
        "amazon_reviews_books",
        "meta_Books.jsonl.gz",
        zipped(b'{"parent_asin": "P1", "title": ' + b"[" * 900 + b"]" * 900 + b"}\n"),
        "gz:1: the JSON is nested too deeply",
    ),
    (
        "30music",
        "relations/sessions.idomaar",
        changed(rb"\t1390231051\t", b"\t%s\t" % (b"1" * 23)),
        "idomaar:2: expected ki",
    ),
    (
        "30music",
        "relations/sessions.idomaar",
        replaced(b'"id":7}', b'"id":null}'),
        ":2: 'subjects' contains an entity without an id",
    ),
    (
        "30music",
        "relations/sessions.idomaar",
        replaced(b'"id":2,', b'"id":null,'),
        ":2: 'objects' contains an entity without an id",
    ),
    (
        "30music",
        "relations/sessions.idomaar",
        replaced(b'"objects":[{', b'"objects":[null,{'),
        ":2: 'objects' contains an entity without an id",
    ),
    (
        "30music",
        "relations/sessions.idomaar",
        replaced(b'start":10', b'start":1e300'),
        ":2: 'playstart' is 1e+300, expected",
    ),
    (
        "30music",
        "relations/sessions.idomaar",
        replaced(b'start":10', b'start":NaN'),
        ":2: 'playstart' is nan, expected",
    ),
    (
        "instacart",
        "orders.csv.gz",
        zipped(ORDERS + b"7,2,prior,1\n8,2,prior,2\n7,3,prior,3\n"),
        "gz:4: column 'order_id': 7 occurs twice",
    ),
    (
        "instacart",
        "orders.csv.gz",
        zipped(ORDERS + b"7,2,prior,1\n-8,2,prior,2\n"),
        "gz:3: column 'order_id': -8 is less",
    ),
    ("dunnhumby", "transaction_data.csv", replaced(b",1,7,1", b",1,-7,1"), "column 'PRODUCT_ID': -7 is less than 0"),
    (
        "dunnhumby",
        "transaction_data.csv",
        lambda content: content + b"10,90,1,7,1,1,1,1,1,1,0,0\r\n",
        "transaction_data.csv:20: column 'household_key': basket 90 of household 10 belongs to another household",
    ),
]
OPTIONS = [
    ("dunnhumby", ("--rating_threshold", "3"), "--rating_threshold: dunnhumby has no ratings"),
    ("nowp", ("--rating_threshold", "3"), "--rating_threshold: nowp has no ratings"),
    (
        "movielens",
        ("--rating_threshold", "6"),
        "--rating_threshold: should be between 0.5 and 5, as the ratings of movielens, not 6",
    ),
    (
        "movielens",
        ("--rating_threshold", "nan"),
        "--rating_threshold: should be between 0.5 and 5, as the ratings of movielens, not nan",
    ),
    (
        "movielens",
        ("--rating_threshold", "5"),
        "category 'violence': there is no interaction with a rating of 5 or better with its 2 items that a user",
    ),
    ("nowp", ("--subset", "1.5"), "--subset: should be a share above 0, at most 1, such as 0.01, not 1.5"),
    ("nowp", ("--subset", "many"), "--subset: should be a share above 0, at most 1, such as 0.01, not many"),
]
