"""Rules that find sensitive items, and errors in rules."""

import pyarrow as pa
import pytest

from recbole.prepare.sensitive_rules import SensitiveRules
from recbole.utils import UserError


def rules(tmp_path, text):
    (tmp_path / "sensitive.yaml").write_text(text, encoding="utf-8")
    return SensitiveRules(tmp_path / "sensitive.yaml")


def found(rules):
    return {category: sorted(items.to_pylist()) for category, items in rules.items().items()}


def test_keywords_match_whole_words_in_every_alphabet(tmp_path):
    own = rules(tmp_path, "c: {signals: {text: {exact: [war, self-harm, IPA], relaxed: [death wish]}}}")
    texts = ["War.", "warm", "éwar", "waré", "war_", "(self-harm)", "no\nipa\nhere", "a DEATH WISHES", "war2", None, ""]
    own.look(pa.array([str(at) for at in range(len(texts))]), text=pa.array(texts))
    assert found(own) == {"c": ["0", "5", "6", "7"]}


def test_each_signal_counts_once_and_signals_of_several_files_add_up(tmp_path):
    own = rules(
        tmp_path,
        "two: {min_signals: 2, signals: {title: {relaxed: [kill]}, tag: {relaxed: [gory]}, aisle: {ids: [3]}}}\n"
        "one: {signals: {tag: {exact: [gory]}}}",
    )
    own.look(pa.array([1, 2, 3]), title=pa.array(["kill, kill", "killer", "x"]), aisle=pa.array([3, 4, 3]))
    own.look(pa.array(["2", "2", "3"]), tag=pa.array([["x", "Gory"], [], None]))
    own.look(pa.array(["1", "1"]), title=pa.array(["kill", "kill"]))
    assert found(own) == {"two": ["1", "2"], "one": ["2"]}


def test_rules_with_lists_of_ids(tmp_path):
    own = rules(tmp_path, "c: {signals: {tag: {ids: [7, 8]}}}")
    own.look(pa.array(["a", "b", "c"]), tag=pa.array([[1, 7], [], [2]]))
    assert found(own) == {"c": ["a"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c: {}", "category 'c' has no signals"),
        ("c: {signal: {t: {exact: [x]}}}", "category 'c' has no signals"),
        ("c: {min_signal: 1, signals: {t: {exact: [x]}}}", "unknown key 'min_signal', did you mean 'min_signals'?"),
        ("c: {signals: {t: {exakt: [x]}}}", "c: t: unknown key 'exakt', did you mean 'exact'?"),
        ("c: {signals: {t: {exact: [no]}}}", "'exact' must be a list of texts (put numbers, yes and no in quotes)"),
        ("c: {signals: {t: {ids: [x]}}}", "'ids' must be a list of whole numbers"),
        ("[1]", "expected a mapping from categories"),
        ("{", "not YAML"),
    ],
)
def test_errors_in_rules_are_reported(tmp_path, text, message):
    with pytest.raises(UserError, match="sensitive") as told:
        rules(tmp_path, text)
    assert message in str(told.value)
    assert "\n" not in str(told.value)
