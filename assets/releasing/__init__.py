"""From pairs and rankings to versions: rows, manifest, card, changes, explanations."""
