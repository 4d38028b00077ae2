"""RecBole's public functions and classes, implemented on top of this package's own modules.

They have RecBole's names and signatures, so that scripts written for RecBole keep working. Users import them from
``recbole.quick_start``, ``recbole.data``, ``recbole.trainer``, ``recbole.evaluator`` and ``recbole.utils``, which load
this package on first use. The command-line programs do not use it.
"""
