"""One partition an experiment, added when its spec appears."""

from __future__ import annotations

import dagster as dg

experiments = dg.DynamicPartitionsDefinition(name="experiments")
