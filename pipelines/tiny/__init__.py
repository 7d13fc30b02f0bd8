"""Two tiny language models, really trained, so that tests and the demo show real log-probabilities without a download."""
