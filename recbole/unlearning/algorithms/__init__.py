"""The unlearning algorithms, one file each."""
