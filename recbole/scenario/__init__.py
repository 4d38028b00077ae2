"""Where requests come from: sensitive items, spam, a user's own file."""
