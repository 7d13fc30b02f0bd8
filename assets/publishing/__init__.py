"""From versions to what trainers and the Hub take."""
