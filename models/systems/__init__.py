"""The systems of the papers, and ours."""
