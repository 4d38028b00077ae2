"""How a preparation ends."""

import pytest

from recbole.prepare.program import run
from recbole.utils.staging import staged


def test_an_interruption_is_told_in_one_line_and_leaves_nothing(tmp_path, capsys):
    def main():
        with staged(tmp_path / "out") as folder:
            (folder / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "error: interrupted; nothing was changed\n"
    assert list(tmp_path.iterdir()) == []
