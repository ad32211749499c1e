"""From evidence to results and verdicts, at the end or along the looks."""
