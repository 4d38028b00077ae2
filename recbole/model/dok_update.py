"""Adds a method to SciPy's ``dok_matrix`` that newer SciPy versions lack and RecBole's model files call."""

import sys


def restore_dok_update() -> None:
    """Add the private method ``_update``, which RecBole's graph models call, to SciPy's ``dok_matrix``.

    SciPy 1.13 removed the method, which sets entries from a dictionary from (row, column) to value. This function does
    nothing if ``scipy.sparse`` has not been imported, so call it after importing the model's file.
    """
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and not hasattr(sparse.dok_matrix, "_update"):
        sparse.dok_matrix._update = lambda self, entries: self._dict.update(entries)
