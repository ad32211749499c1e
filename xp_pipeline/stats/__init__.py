"""Pure numerics on evidence: no frame, path, SQL or Dagster."""
