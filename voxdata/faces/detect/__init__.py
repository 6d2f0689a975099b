"""Detectors and landmarks."""
