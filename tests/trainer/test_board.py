"""TensorBoard's curves: written while the file can be written, and no reason to end a training."""

import subprocess
import sys

import pytest

from recbole.trainer.board import Board
from recbole.utils import UserError

PROGRAM = """
import logging, resource, sys
from pathlib import Path
from recbole.trainer.board import Board
logging.basicConfig(format="%(message)s")
board = Board(Path(sys.argv[1]))
board.add_scalar("Loss/Train", 0.5, 0)
board.writer.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for epoch in range(2000):
    board.add_scalar("Loss/Train", 0.5, epoch)
board.close()
print("trained")
"""


def test_curves_end_with_one_line_where_their_file_cannot_grow(tmp_path):
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=False, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "trained\n"), run.stderr
    assert run.stderr == f"TensorBoard's curves in {tmp_path} end here: File too large\n"


def test_a_folder_that_cannot_be_made_is_told_before_training(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--tensorboard False avoids it"):
        Board(tmp_path / "file" / "curves")
