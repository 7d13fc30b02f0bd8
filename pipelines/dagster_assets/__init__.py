"""What Dagster shows of the rooms of `assets/`: one file a room."""
