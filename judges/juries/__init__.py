"""Juries: one file each. A jury turns the judges' scores into one utility per response."""
