"""Benchmarks: each figure a ratio inside one run, with a floor and a rival."""
