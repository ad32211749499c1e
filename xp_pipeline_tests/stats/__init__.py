"""Inference against published numbers, other implementations and its own invariants."""
