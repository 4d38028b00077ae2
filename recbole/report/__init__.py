"""Reports: values selected from the result files of runs, printed or written as tables."""
