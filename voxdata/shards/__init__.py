"""WebDataset shards: write, index, read, verify."""
