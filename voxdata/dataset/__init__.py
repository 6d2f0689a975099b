"""What people do with a built dataset in Python: ask it, read it, and feed a training."""
