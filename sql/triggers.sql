-- Purpose: when a unit first reached the entry point after its exposure.
-- Inputs:  assigned (assignments.sql), optional mapping, the clean rows of the trigger's source.
-- Output:  unit; triggered_at (UTC).
SELECT assigned.unit, min(entry.ts) AS triggered_at
FROM assigned
{% if identity %}JOIN mapping ON mapping.unit = assigned.unit
{% endif %}JOIN (
    SELECT {{ unit }} AS event_unit, {{ time }} AS ts FROM {{ relation }} WHERE {{ where }}
) AS entry ON entry.event_unit = {% if identity %}mapping.event_unit{% else %}assigned.unit{% endif %}

WHERE entry.ts >= assigned.t0 AND entry.ts < {{ until }}
GROUP BY assigned.unit
