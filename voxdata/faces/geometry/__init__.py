"""What landmarks say of a face before anything is measured: pupils, angles, and the patch of its skin."""
