"""Benchmarks: ``python -m benchmarks NAME [--json]``. They run from a checkout."""
