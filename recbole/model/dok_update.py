"""What RecBole's model files expect of other libraries."""

import scipy.sparse


def restore_dok_update() -> None:
    """Give SciPy's ``dok_matrix`` back ``_update``, by which RecBole's graph models, and copies of them, fill it.

    The private method is gone since SciPy 1.13. It takes a dictionary from (row, column) to value.
    """
    if not hasattr(scipy.sparse.dok_matrix, "_update"):
        scipy.sparse.dok_matrix._update = lambda self, entries: self._dict.update(entries)  # type: ignore[attr-defined]
