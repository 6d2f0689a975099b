"""Photo and speech sources, and the photo store."""
