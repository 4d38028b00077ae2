"""What the command lines call: each function reads like a table of contents."""
