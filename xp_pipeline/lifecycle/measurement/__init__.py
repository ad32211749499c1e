"""From rows to sealed evidence: the fused pass and what is summed beside it."""
