-- Purpose: how often each per-unit value of a metric occurs, by arm and, where asked, segment: for quantiles.
-- Inputs:  unit_values.
-- Output:  arm; level (null without a segment); value; units.
SELECT
    arm,
    {% if segment %}{{ segment }}{% else %}CAST(NULL AS VARCHAR){% endif %} AS level,
    {{ value }} AS value,
    count(*) AS units
FROM {{ relation }}
WHERE {{ value }} IS NOT NULL
GROUP BY arm{% if segment %}, {{ segment }}{% endif %}, {{ value }}
ORDER BY arm{% if segment %}, {{ segment }}{% endif %}, {{ value }}
