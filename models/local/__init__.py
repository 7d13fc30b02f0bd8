"""Models in this process, or their log-probabilities from a server: loading, rendering, packing, reading."""
