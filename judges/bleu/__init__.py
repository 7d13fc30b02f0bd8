"""BLEU against references: its kernel, its tokeniser, and the judges over them."""
