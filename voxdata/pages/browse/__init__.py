"""The page over the whole catalog: every face by its measurements, and the clips beside it (see docs/browse.md)."""
