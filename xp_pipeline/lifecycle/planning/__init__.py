"""PLANNED: what an experiment can tell by when, from typed numbers or by replaying history."""
