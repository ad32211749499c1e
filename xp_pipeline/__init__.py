"""A Git folder of experiments and metrics becomes a daily, incremental, self-checking analysis."""

__version__ = "0.1.0"
