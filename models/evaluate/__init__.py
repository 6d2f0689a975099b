"""Evaluation of a run on people it never saw: `python -m models.evaluate RUN_DIR`."""
