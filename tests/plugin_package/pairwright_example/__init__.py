"""A package that adds a judge, a filter and a format, as one from elsewhere would."""
