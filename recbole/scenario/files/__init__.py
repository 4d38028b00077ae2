"""The files that scenarios read: forget sets, and spam attacks."""
