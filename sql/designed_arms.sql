-- Purpose: exposure rows with the arm and the stratum (phase, branch) that the design gives them.
-- Inputs:  the clean rows of the population's source; per row its branch, its bucket, and the arm by both.
-- Output:  every column of the source; designed_stratum; designed_arm (null where the unit takes no part). Where the
--          arms of a ramp move, a unit keeps the arm of the first row that takes part.
SELECT
    * EXCLUDE (branch, bucket, row_arm),
    {% if sticky %}CASE WHEN row_arm IS NOT NULL THEN first_value(row_arm) OVER (
        PARTITION BY {{ unit }}
        ORDER BY CASE WHEN row_arm IS NULL THEN 1 ELSE 0 END, {{ time }}, _row
    ) END{% else %}row_arm{% endif %} AS designed_arm
FROM (
    SELECT *, {{ stratum }} AS designed_stratum, CASE WHEN {{ member }} THEN {{ arm }} END AS row_arm
    FROM (SELECT *, {{ branch }} AS branch, {{ bucket }} AS bucket FROM {{ relation }}) AS numbered
) AS drawn
