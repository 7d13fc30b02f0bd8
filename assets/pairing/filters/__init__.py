"""Filters on pairs: one file each. A filter gives every candidate a value and says which values stay."""
