"""From findings to a verdict, with each condition that held or failed as a sentence."""
