"""The parts of against_others.py: situations, formulas of other tools, the packages themselves, the page."""
