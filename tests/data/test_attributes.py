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
    """A function: ``made(name, lines=USERS, **spec)`` reads an attribute with the given specification."""

    def make(name, lines=USERS, **spec):
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
    age, data = made("age", bins=[35, 45])
    assert age.groups == ("(-inf,35)", "[35,45)", "[45,inf)")
    assert [of(age, data, token) for token in ("u1", "u0", "u12", "u13", "u22")] == [
        "(-inf,35)", "[35,45)", "[35,45)", "[45,inf)", None,
    ]  # fmt: skip
    nine, _ = made("income", bins=[2, 5, 10])
    assert nine.groups == ("(-inf,2)", "[2,5)", "[5,10)", "[10,inf)")


def test_values_can_be_merged_renamed_and_declared_missing(made):
    job, data = made("work", column="job", groups={"rest": ["j3", "j4"]}, missing=["clerk"])
    assert job.groups == ("j0", "j1", "j2", "rest")
    assert [of(job, data, token) for token in ("u0", "u1", "u2", "u3", "u4")] == [None, None, "j2", "rest", "rest"]


def test_the_digest_depends_on_labels_and_names(made):
    gender, _ = made("gender")
    again, _ = made("gender", [USERS[0], *reversed(USERS[1:])])
    other, _ = made("gender", [line.replace("u1\tM", "u1\tF") for line in USERS])
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
    ],
)
def test_invalid_specifications_give_one_line_errors(made, name, spec, told):
    with pytest.raises(UserError, match=told):
        made(name, **spec)


def test_a_user_with_two_lines_is_rejected(made):
    with pytest.raises(UserError, match="u1 appears twice"):
        made("gender", [*USERS, "u1\tF\t1\tx\t1"])


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
