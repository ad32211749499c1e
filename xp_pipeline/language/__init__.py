"""The assignment language, and the bucket rules beneath it."""
