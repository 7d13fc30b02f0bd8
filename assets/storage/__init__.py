"""Tables on disk: files, ledgers of paid work, journals, replies."""
