"""Calibration: simulations that hold every shipped method to its promised error rates."""
