"""Reports for readers: selecting values from result files, and printing or writing them as tables."""
