"""Who is who: ids, names, aliases, opt-outs, tombstones, splits."""
