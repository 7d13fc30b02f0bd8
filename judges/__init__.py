"""What gives value to responses: one file per judge. Tables in, tables out."""
