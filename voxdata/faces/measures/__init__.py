"""What is measured of a face."""
