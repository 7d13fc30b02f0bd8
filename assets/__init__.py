"""How tables are made: pure functions on frames, each with a thin Dagster face."""
