"""RecBole's names and signatures, implemented on top of this package's own modules.

Users import them from ``recbole.quick_start``, ``recbole.data``, ``recbole.trainer``, ``recbole.evaluator`` and
``recbole.utils``, which load this package on first use. The rest of the program does not use it.
"""
