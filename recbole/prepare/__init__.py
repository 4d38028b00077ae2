"""Building blocks of the data sets' ``prepare.py`` scripts: from the raw files to the benchmark's files.

Large data sets are not converted to Python objects: Arrow reads the interactions in blocks of limited size, and they
are stored as integer codes, with one array of distinct tokens per column.
"""
