"""Before anyone is exposed: how many units, for how long, to see how small an effect."""
