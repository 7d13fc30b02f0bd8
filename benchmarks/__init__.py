"""Speed and memory, as ratios against a peer or the limit in the same run."""
