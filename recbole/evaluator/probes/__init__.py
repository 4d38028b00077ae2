"""The questions, one file each; a new one is a file more."""
