"""A package that adds a judge, a jury, a pair strategy, filters and a format, as one from elsewhere would."""
