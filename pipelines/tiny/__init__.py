"""Two tiny language models, really trained: tests and the demo show real log-probabilities without a download."""
