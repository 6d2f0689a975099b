"""Datasets of other people's layouts: imported as snapshots or sources, and exported from snapshots."""
