import importlib

import pytest

from recbole.utils import UserError, plugins

GROUP = plugins.ALGORITHMS


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that makes an installed distribution with one entry point, ``name = toy_part:value``."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "toy_part.py").write_text("THING = 7\n")

    def install(distribution, name, value="THING"):
        folder = tmp_path / f"{distribution}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = toy_part:{value}\n")
        importlib.invalidate_caches()

    return install


def test_an_installed_part_is_found_and_loaded(installed):
    installed("toys", "toy")
    assert plugins.load(plugins.offered(GROUP)["toy"]) == 7


def test_a_name_is_taken_once(installed):
    installed("toys", "toy")
    with pytest.raises(UserError, match=r"toys offers erase_bench\.algorithms 'toy', which this package has"):
        plugins.offered(GROUP, {"toy"})
    installed("others", "toy", "OTHER")
    with pytest.raises(UserError, match="two installed packages offer"):
        plugins.offered(GROUP)


def test_a_part_that_cannot_be_imported_is_told_in_one_line(installed):
    installed("toys", "toy", "MISSING")
    with pytest.raises(UserError, match=r"toys offers .* which cannot be imported \(AttributeError: .*MISSING") as told:
        plugins.load(plugins.offered(GROUP)["toy"])
    assert "\n" not in str(told.value)
