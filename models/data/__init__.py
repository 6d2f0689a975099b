"""From a snapshot to batches: the reader, where tensors lie, the sampler."""
