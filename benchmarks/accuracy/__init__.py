"""Parts of the accuracy benchmarks: each module has `measure(data) -> Section`."""
