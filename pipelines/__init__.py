"""What runs when: the definitions that Dagster loads, and the recipes."""
