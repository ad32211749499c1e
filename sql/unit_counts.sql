-- Purpose: units by arm and whatever else is asked (status, segment, exposure day), for quality checks.
-- Inputs:  units (units.sql).
-- Output:  the grouping columns; units.
SELECT {{ by | join(', ') }}, count(*) AS units
FROM {{ relation }}
WHERE {{ where }}
GROUP BY {{ by | join(', ') }}
ORDER BY {{ by | join(', ') }}
