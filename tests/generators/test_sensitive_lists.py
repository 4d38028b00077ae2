"""Files with lists of sensitive items."""

import pytest

from recbole.generators.sensitive_lists import list_categories, read_sensitive_items, write_sensitive_items
from recbole.utils import UserError


@pytest.mark.parametrize("kind", ["asins", "products", "tracks"])
@pytest.mark.parametrize("content", [b"10\n9\n007\n", b"10\r\n9\r\n007", b"\xef\xbb\xbf10\n\n9\n10\n007\n"])
def test_every_file_name_is_read(tmp_path, kind, content):
    (tmp_path / f"sensitive_{kind}_mental_health.txt").write_bytes(content)
    assert read_sensitive_items(tmp_path, "mental_health") == ["10", "9", "007"]
    assert list_categories(tmp_path) == ["mental_health"]


def test_files_of_asins_precede_products_and_tracks(tmp_path):
    for kind, others in (("tracks", "t"), ("products", "p"), ("asins", "a")):
        (tmp_path / f"sensitive_{kind}_meat.txt").write_text(others)
        assert read_sensitive_items(tmp_path, "meat") == [others]


def test_a_missing_list_is_an_error(tmp_path):
    folder = tmp_path / "tafeng"
    write_sensitive_items(folder, "horror", ["1"])
    with pytest.raises(UserError) as caught:
        read_sensitive_items(folder, "horor")
    assert str(caught.value) == (
        f"no list of sensitive items for the category 'horor' in {folder}, did you mean 'horror'? (looked for "
        "sensitive_asins_horor.txt, sensitive_products_horor.txt, sensitive_tracks_horor.txt; "
        "'python dataset/tafeng/prepare.py' writes the lists)"
    )


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ("tafeng_1000", "'python dataset/tafeng/prepare.py --subset 1000' writes the lists"),
        ("ml-100k_test", "'python dataset/ml-100k/prepare.py --subset 0.01' writes the lists"),
        ("ml-100k_1000", "write one item token per line"),
        ("tafeng_x", "write one item token per line"),
        ("_test", "write one item token per line"),
        ("shop", "write one item token per line"),
    ],
)
def test_a_missing_list_of_a_subset_and_of_own_data(tmp_path, dataset, told):
    with pytest.raises(UserError) as caught:
        read_sensitive_items(tmp_path / dataset, "midling")
    assert str(caught.value).endswith(f"; {told})")


@pytest.mark.parametrize(("content", "message"), [(b"\n\r\n", "the list is empty"), (b"\xff\n", "not UTF-8")])
def test_an_unusable_list_is_an_error(tmp_path, content, message):
    (tmp_path / "sensitive_asins_meat.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_sensitive_items(tmp_path, "meat")


@pytest.mark.parametrize(
    ("items", "written"),
    [(["10", "9", "10"], b"9\n10\n"), (["10", "9", "09"], b"09\n10\n9\n"), ({"B", "a"}, b"B\na\n")],
)
def test_lists_are_written_sorted_without_repeats(tmp_path, items, written):
    path = write_sensitive_items(tmp_path, "meat", items)
    assert path == tmp_path / "sensitive_asins_meat.txt"
    assert path.read_bytes() == written
    with pytest.raises(UserError, match="no item belongs to the category 'none'"):
        write_sensitive_items(tmp_path, "none", [])


def test_a_list_that_is_a_folder_is_named(tmp_path):
    (tmp_path / "sensitive_asins_y.txt").mkdir()
    with pytest.raises(UserError, match=r"cannot read .*sensitive_asins_y\.txt: it is not a regular file$"):
        read_sensitive_items(tmp_path, "y")
    (tmp_path / "sensitive_tracks_y.txt").write_text("3\n")
    assert read_sensitive_items(tmp_path, "y") == ["3"]
