"""One function per phase, from sealed inputs to a sealed artifact; Dagster, the terminal and notebooks call these."""
