"""Networks, losses, training and evaluation. Needs torch, numpy, pyarrow and Pillow only."""
