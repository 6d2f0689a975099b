"""Which part of a clip is speech."""
