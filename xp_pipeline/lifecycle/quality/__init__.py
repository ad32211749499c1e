"""Whether the data can be trusted: the checks, and what happens when one blocks."""
