"""What people read of results: the values of a table's columns, the tables, and how they are printed and written."""
