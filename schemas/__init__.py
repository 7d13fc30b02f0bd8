"""What data looks like: the tables, the recipe, content ids and errors. Imports nothing else of Pairwright."""
