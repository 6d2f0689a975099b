"""Parts of `benchmarks/face_throughput.py`."""
