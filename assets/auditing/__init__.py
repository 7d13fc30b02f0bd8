"""Looking again: nightly relabelling, and agreement with gold labels."""
