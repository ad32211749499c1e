"""Bad input, and what our Welch says of it; what other tools say comes from the packages themselves."""

from __future__ import annotations

import math

from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments

Values = list[float]

BAD: tuple[tuple[str, Values, Values], ...] = (
    ("control mean 0", [-1.0, 0.0, 1.0, 0.0], [1.0, 2.0, 3.0, 2.0]),
    ("all zeros in both arms", [0.0] * 5, [0.0] * 5),
    ("no variance, different means", [1.0] * 5, [2.0] * 5),
    ("no variance in one arm", [1.0] * 5, [1.0, 2.0, 3.0, 2.5, 1.5]),
    ("one unit in an arm", [1.0], [1.0, 2.0, 3.0]),
    ("a missing value", [1.0, 2.0, float("nan"), 3.0], [2.0, 3.0, 4.0, 3.5]),
    ("mean 1e9, sd 1", [1e9 + x for x in (-1.0, 0.0, 1.0, 0.5, -0.5)], [1e9 + x for x in (1.0, 2.0, 3.0, 2.5, 1.5)]),
    ("negative control mean", [-2.0, -1.0, -3.0, -2.5, -1.5], [-1.0, -0.5, -2.0, -1.5, -1.0]),
    ("40 standard errors apart", [0.9, 1.0, 1.1, 1.05, 0.95] * 20, [1.3, 1.4, 1.5, 1.45, 1.35] * 20),
)


def ours_of_bad(control: Values, treatment: Values) -> str:
    """Interval, lift and p, or the status with its reason; where a value is missing, also without it."""
    e = welch(Moments.of(control), Moments.of(treatment))
    if any(map(math.isnan, control)):
        dropped = ours_of_bad([x for x in control if not math.isnan(x)], treatment)
        return f"{e.status}: {e.reason}; nulls dropped by declared policy: {dropped}"
    if math.isnan(e.low):
        return f"{e.status}: {e.reason}"
    r = e.relative
    shown = f"({r.low:.3g}, {r.high:.3g})" if r.status == "ok" else r.status.value
    return f"({e.low:.3g}, {e.high:.3g}), lift {shown}, p {e.p_value:.3g}"
