-- Purpose: the same as assignments.sql for a unit table, whose contract already promises one row per unit.
-- Inputs:  the clean rows of the unit table.
-- Output:  the columns of assignments.sql.
SELECT
    {{ unit }} AS unit,
    {{ arm }} AS arm,
    FALSE AS met_several,
    {{ time }} AS t0,
    1 AS n_rows,
    CASE WHEN {{ mismatched }} THEN 1 ELSE 0 END AS n_mismatched{% for column in carried %},
    {{ column.sql }} AS {{ column.name }}{% endfor %}
FROM {{ relation }}
WHERE {{ where }} AND {{ arm }} IS NOT NULL{% if drop_mismatched %} AND NOT {{ mismatched }}{% endif %}
