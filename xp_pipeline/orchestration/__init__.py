"""Dagster over the lifecycle: partitions, assets, jobs and automation; no analysis happens here."""
