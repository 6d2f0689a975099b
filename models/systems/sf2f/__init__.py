"""SF2F: speech fusion to face (Bai et al.)."""
