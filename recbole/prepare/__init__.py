"""From the files of a data set's source to the benchmark's: streams in, columns of codes in between, whole files out.

What the ``prepare.py`` of the data sets share. Interactions of large data sets are never Python objects: they are read
in bounded blocks by Arrow and kept as integer codes beside one dictionary of tokens.
"""
