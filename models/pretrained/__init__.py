"""Published networks whose weights come from a file: which file, how it is read, and those that embed no faces."""
