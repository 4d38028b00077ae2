"""Restores a method that RecBole's model files call and that newer SciPy versions lack."""

import sys


def restore_dok_update() -> None:
    """Add the private method ``_update``, which RecBole's graph models call, to SciPy's ``dok_matrix``.

    SciPy 1.13 removed the method. It takes a dictionary from (row, column) to value. Call this function after the
    model's file has been imported: it does nothing if ``scipy.sparse`` has not been imported.
    """
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and not hasattr(sparse.dok_matrix, "_update"):
        sparse.dok_matrix._update = lambda self, entries: self._dict.update(entries)
