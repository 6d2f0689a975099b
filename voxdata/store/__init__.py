"""Where everything durable goes: storage, fragments, the journal, locks, the log of files."""
