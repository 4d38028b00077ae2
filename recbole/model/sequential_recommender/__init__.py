"""One module per model, named as the model in lower case."""
