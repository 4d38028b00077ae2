"""Generate, from the data alone, what is to be forgotten: lists of sensitive items, forget sets, spam attacks."""
