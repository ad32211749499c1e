-- Purpose: the id that a unit has in event sources, and whether the mapping is ambiguous.
-- Inputs:  assigned (assignments.sql), the mapping table (population id, event id, optional time).
-- Output:  unit; event_unit; conflict. Strict: any unit with several event ids, or sharing one, conflicts.
--          First touch: an event id belongs to its earliest exposed unit; later units conflict.
WITH pairs AS (
    SELECT DISTINCT assigned.unit, link.{{ to }} AS event_unit, assigned.t0
    FROM assigned JOIN {{ relation }} AS link ON link.{{ unit }} = assigned.unit
    WHERE link.{{ to }} IS NOT NULL
),
{% if mode == 'strict' %}
ranked AS (
    SELECT
        unit,
        event_unit,
        count(*) OVER (PARTITION BY unit) > 1 OR count(*) OVER (PARTITION BY event_unit) > 1 AS conflict
    FROM pairs
)
SELECT unit, min(event_unit) AS event_unit, max(CASE WHEN conflict THEN 1 ELSE 0 END) = 1 AS conflict
{% else %}
ranked AS (
    SELECT
        unit,
        event_unit,
        row_number() OVER (PARTITION BY event_unit ORDER BY t0, unit) > 1 AS conflict
    FROM pairs
)
SELECT
    unit,
    min(CASE WHEN NOT conflict THEN event_unit END) AS event_unit,
    min(CASE WHEN conflict THEN 1 ELSE 0 END) = 1 AS conflict
{% endif %}
FROM ranked
GROUP BY unit
