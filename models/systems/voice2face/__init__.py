"""voice2face (Wen et al. 2019) and its variants."""
