"""User attributes (such as gender) that are read from a ``.user`` file."""

import numpy as np
import pytest

from recbole.data import create_dataset
from recbole.data.attributes import read_attribute
from recbole.utils import ModelType, UserError

USERS = ["user_id:token\tgender:token\tage:token\tjob:token\tincome:float", "u1\tM\t20\tclerk\t1.5", "u0\tF\t35\t\t2"]
USERS += [f"u{u}\t{'MF'[u % 2]}\t{20 + 2 * u}\tj{u % 5}\t{u}" for u in range(2, 22)]
USERS += ["nobody\tX\t99\tx\t1", "u22\t\t\t\t"]


@pytest.fixture
def made(small_cf, config):
    """A function: ``made(name, spec=None, lines=USERS)`` reads an attribute with the given specification."""

    def make(name, spec=None, lines=USERS):
        (small_cf / "small" / "small.user").write_text("\n".join(lines) + "\n", encoding="utf-8")
        settings = config(small_cf, attributes={name: spec} if spec else None)
        data = create_dataset(settings, ModelType.GENERAL)
        return read_attribute(settings, data, name), data

    return make


def of(attribute, data, token):
    """Return the group name of a user, given by token; None if unknown."""
    place = attribute.label[data.token2id("user_id", token)]
    return None if place < 0 else attribute.groups[place]


def test_groups_are_sorted_and_users_missing_in_the_file_are_unknown(made):
    gender, data = made("gender")
    assert gender.groups == ("F", "M")  # no user in the data is in the group X
    assert [of(gender, data, token) for token in ("u1", "u0", "u4", "u22", "u23")] == ["M", "F", "M", None, None]
    assert gender.label[0] == -1
    assert len(gender.known) == 22
    assert str(gender) == "gender: F 11, M 11"


def test_bins_include_their_lower_bound_and_stay_in_order(made):
    age, data = made("age", {"bins": [35, 45]})
    assert age.groups == ("(-inf,35)", "[35,45)", "[45,inf)")
    assert [of(age, data, token) for token in ("u1", "u0", "u12", "u13", "u22")] == [
        "(-inf,35)", "[35,45)", "[35,45)", "[45,inf)", None,
    ]  # fmt: skip
    nine, _ = made("income", {"bins": [2, 5, 10]})
    assert nine.groups == ("(-inf,2)", "[2,5)", "[5,10)", "[10,inf)")


def test_values_can_be_merged_renamed_and_declared_missing(made):
    job, data = made("work", {"column": "job", "groups": {"rest": ["j3", "j4"]}, "missing": ["clerk"]})
    assert job.groups == ("j0", "j1", "j2", "rest")
    assert [of(job, data, token) for token in ("u0", "u1", "u2", "u3", "u4")] == [None, None, "j2", "rest", "rest"]


def test_the_digest_depends_on_labels_and_names(made):
    gender, _ = made("gender")
    again, _ = made("gender", lines=[USERS[0], *reversed(USERS[1:])])
    other, _ = made("gender", lines=[line.replace("u1\tM", "u1\tF") for line in USERS])
    assert gender.sha256 == again.sha256 != other.sha256
    np.testing.assert_array_equal(gender.label, again.label)


@pytest.mark.parametrize(
    ("name", "spec", "told"),
    [
        ("gendr", {}, "no column 'gendr', did you mean 'gender'"),
        ("job", {"bins": [3]}, "'clerk' is not a number"),
        ("age", {"bins": [45, 35]}, "ascending"),
        ("age", {"bin": [35]}, "unknown key 'bin', did you mean 'bins'"),
        ("age", {"bins": [35], "groups": {}}, "both bins and groups"),
        ("age", {"bins": [200]}, r"to 1 group\(s\)"),
        ("age", {"bins": [35, "a"]}, r"age: bins should be ascending numbers, like \[35, 45\], not \[35, 'a'\]"),
        ("age", {"bins": ["a", "b"]}, "ascending numbers"),
        ("age", {"bins": [[1]]}, "ascending numbers"),
        ("age", {"bins": []}, "ascending numbers"),
        ("age", {"bins": [35, 10**400]}, "ascending numbers"),
        ("age", {"bins": [True]}, "ascending numbers"),
        ("gender", {"groups": ["M", "F"]}, "gender: groups should be lists of text or numbers, each value in one list"),
        ("gender", {"groups": {"r": {"M": 1}}}, "gender: groups should be lists"),
        ("gender", {"groups": {"r": [True]}}, "gender: groups should be lists"),  # YAML reads 'yes' as True
        ("gender", {"groups": {None: ["M"]}}, "gender: groups should be lists"),
        ("gender", {"groups": {"r": ["M"], "s": ["F", "M"]}}, "each value in one list only"),
        ("gender", {"missing": {"M": 1}}, r"gender: missing should be a list of text or numbers, like \[unknown\]"),
        ("gender", {"missing": [None]}, "gender: missing should be"),
        ("gender", {"column": ["a"]}, r"gender: column should be text that is not empty, not \['a'\]"),
        ("gender", {"column": ""}, "gender: column should be text that is not empty"),
        ("gender", {3: 1}, "unknown key 3"),
    ],
)
def test_invalid_specifications_give_one_line_errors(made, name, spec, told):
    with pytest.raises(UserError, match=told) as error:
        made(name, spec)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        (["gender"], "should map attributes to settings"),
        ({"gender": ["M"]}, "gender should be a dictionary with the keys column, bins, groups, missing, not"),
        ({"gender": 0}, "gender should be a dictionary"),
        ({1: {}}, "the name 1 of an attribute should be text: put it in quotes"),
        ({None: {}}, "the name None of an attribute"),
        ({"": {}}, "should be a name without / and"),
        ({"a/b": {"column": "gender"}}, "should be a name without / and .*, because file names contain it, not 'a/b'"),
        ({"../../../esc": {"column": "gender"}}, "because file names contain it"),
    ],
)
def test_invalid_declarations_of_attributes_give_one_line_errors(small_cf, config, attributes, told):
    with pytest.raises(UserError, match=rf"attributes \(.*\).*{told}"):
        config(small_cf, attributes=attributes)


@pytest.mark.parametrize("value", [5, [1], {"gender": 1}, ["gender", None], "", ["a/b"], [".."]])
def test_the_attributes_to_unlearn_are_names(small_cf, config, value):
    with pytest.raises(UserError, match=r"attribute \(.*\) should be (an attribute or a list|a name without / and)"):
        config(small_cf, attribute=value)


@pytest.mark.parametrize(
    ("spec", "same_as"),
    [
        ({"missing": "M", "groups": None}, {"missing": ["M"]}),
        ({"missing": 5, "column": None}, {"missing": [5]}),
        ({"groups": {"r": "X", "s": ("M",)}}, {"groups": {"r": ["X"], "s": ["M"]}}),
        ({"missing": None, "groups": {"r": 5}}, {"groups": {"r": [5]}}),
        (None, {}),
    ],
)
def test_single_values_are_lists_of_one_and_null_is_left_out(small_cf, config, spec, same_as):
    assert config(small_cf, attributes={"gender": spec})["attributes"] == {"gender": same_as}


def test_a_name_is_not_suggested_instead_of_itself(made):
    with pytest.raises(UserError, match=r"no column 'job2', did you mean 'job'"):
        made("job2", {"missing": ["x"]})


def test_a_user_with_two_lines_is_rejected(made):
    with pytest.raises(UserError, match="u1 appears twice"):
        made("gender", lines=[*USERS, "u1\tF\t1\tx\t1"])


def test_no_file_is_one_line(config, small_dataset):
    with pytest.raises(UserError, match=r"cannot read the users' attribute gender: there is no file .*small\.user"):
        read_attribute(small_dataset.config, small_dataset, "gender")


def test_ml_100k_is_grouped_by_its_properties(reference, config):
    settings = config(reference / "data", model="BPR", dataset="ml-100k")
    data = create_dataset(settings, ModelType.GENERAL)
    read = {name: read_attribute(settings, data, name) for name in ("gender", "age", "occupation")}
    assert str(read["gender"]) == "gender: F 273, M 670"
    assert str(read["age"]) == "age: (-inf,35) 544, [35,45) 194, [45,inf) 205"
    assert read["occupation"].groups == (
        "administrator", "educator", "engineer", "librarian", "other", "programmer", "rest", "student",
    )  # fmt: skip
    assert np.bincount(read["occupation"].label[1:]).min() >= 50
    assert all(len(attribute.known) == 943 for attribute in read.values())
