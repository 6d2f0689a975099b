"""The modern arm: voices aligned with the identity space of faces."""
