"""The page of `voxdata serve`: a voice clip in, plausible faces out; nothing is stored."""
