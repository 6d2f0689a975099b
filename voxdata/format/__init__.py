"""What lies on disk and how it is read. NumPy, pyarrow, Pillow and the standard library; nothing else, ever."""
