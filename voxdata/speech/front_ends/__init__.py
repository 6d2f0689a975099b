"""From samples to log-mel features."""
