"""What people see of tables and work: previews, pictures, progress."""
