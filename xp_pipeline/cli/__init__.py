"""The terminal: ``xp``. Commands import what they need when they run, so that a wrong spec answers at once."""

from xp_pipeline.cli.app import main

__all__ = ["main"]
