"""Reports: select values from the result files of unlearning runs, and print or write them as tables."""
