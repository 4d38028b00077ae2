"""Restores a SciPy method that RecBole's model files call."""

import sys


def restore_dok_update() -> None:
    """Add the private method ``_update`` to SciPy's ``dok_matrix``, as RecBole's graph models need it.

    SciPy 1.13 removed the method. It takes a dictionary from (row, column) to value. Call this function after the
    model's file has been imported; if ``scipy.sparse`` has not been imported by then, nothing is done.
    """
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and not hasattr(sparse.dok_matrix, "_update"):
        sparse.dok_matrix._update = lambda self, entries: self._dict.update(entries)
