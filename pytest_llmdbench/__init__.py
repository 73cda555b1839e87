"""Benchmarks of LLM serving as a pytest suite."""

__version__ = "0.1.0"
