"""What the tests of reading share."""

import pytest


@pytest.fixture
def file(tmp_path):
    """Write a file and return its path."""

    def make(content):
        path = tmp_path / "d.inter"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make
