"""What is known of how a table is made, declared once a table."""
