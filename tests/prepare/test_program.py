"""How a preparation ends if it is interrupted."""

import pytest

from recbole.prepare.program import run
from recbole.utils.staging import staged


def test_an_interruption_gives_one_line_and_leaves_no_files(tmp_path, capsys):
    def main():
        with staged(tmp_path / "out") as folder:
            (folder / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "error: interrupted; nothing was changed\n"
    assert list(tmp_path.iterdir()) == []
