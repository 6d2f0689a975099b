"""People in the data: opt-outs, aliases, forgetting a person, and dropping originals (see docs/governance.md)."""
