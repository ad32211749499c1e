"""Tests of the calibration benchmark."""
