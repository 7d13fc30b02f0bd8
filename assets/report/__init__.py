"""The report of a release: one HTML file that needs nothing but itself."""
