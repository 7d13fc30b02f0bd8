"""From verdicts to preferences, pairs and rankings."""
