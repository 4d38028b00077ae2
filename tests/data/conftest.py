"""Fixtures for the tests of reading data."""

import pytest


@pytest.fixture
def file(tmp_path):
    """A function that writes a file and returns its path."""

    def make(content):
        path = tmp_path / "d.inter"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make
