"""Tests of what is promised, recorded and sealed."""
