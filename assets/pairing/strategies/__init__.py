"""Pair strategies: one file each. A strategy says which of a prompt's ranked responses are put side by side."""
