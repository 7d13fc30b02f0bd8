"""From sources to prompts and given responses."""
