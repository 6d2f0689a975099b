"""The review page: people look at candidates side by side, and their words go to the journal (see docs/review.md)."""
