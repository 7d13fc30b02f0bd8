"""Further columns of a release's pairs, a file each."""
