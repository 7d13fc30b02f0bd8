"""Adds judges, a jury, a pair strategy, filters, a pair column and a format, as a package from elsewhere would."""
