"""From photos to portraits: measure, link, decide, render."""
