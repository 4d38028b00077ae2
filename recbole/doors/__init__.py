"""RecBole's names and signatures, as thin doors to the rooms of this package.

Nobody here imports this room by itself: ``recbole.quick_start``, ``recbole.data``, ``recbole.trainer``,
``recbole.evaluator`` and ``recbole.utils`` hand out its functions on demand, under RecBole's names.
"""
