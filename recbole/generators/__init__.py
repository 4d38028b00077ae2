"""What is to be forgotten, drawn from data alone: lists of sensitive items, forget sets, spam attacks, their files."""
