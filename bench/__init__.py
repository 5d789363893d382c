"""Benchmarks: ``python -m bench --help``. How to read the numbers: docs/reference/bench.md."""
