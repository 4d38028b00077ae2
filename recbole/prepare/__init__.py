"""Building blocks of the data sets' ``prepare.py`` scripts, which convert raw files to the benchmark's files.

The scripts write a file of interactions, lists of sensitive items, and forget sets: lists of interactions that users
request to forget. To save memory, Arrow reads the raw files in blocks, and users and items are stored as integers.
"""
