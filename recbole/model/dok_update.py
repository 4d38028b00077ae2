"""What RecBole's model files expect of other libraries."""

import sys


def restore_dok_update() -> None:
    """Give SciPy's ``dok_matrix`` back ``_update``, by which RecBole's graph models, and copies of them, fill it.

    The private method is gone since SciPy 1.13. It takes a dictionary from (row, column) to value. To be called once
    the model's file is imported: where that did not import SciPy's matrices, they are not imported here.
    """
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and not hasattr(sparse.dok_matrix, "_update"):
        sparse.dok_matrix._update = lambda self, entries: self._dict.update(entries)
