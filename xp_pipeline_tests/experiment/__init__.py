"""Tests of the notebook's front door."""
