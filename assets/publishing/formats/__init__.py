"""Export formats: one file for each family of trainers."""
