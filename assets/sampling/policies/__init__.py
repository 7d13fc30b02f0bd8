"""What writes responses: one file per kind of policy."""
