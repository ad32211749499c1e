-- Purpose: how many exposure rows fell where, before units are formed.
-- Inputs:  the clean rows of the population's source.
-- Output:  one row of counts: all rows; rows of this experiment; before its start; past its end or the
--          as-of; without an arm; units that have only rows without an arm; mismatched rows.
WITH exposure AS (
    SELECT {{ unit }} AS unit, {{ arm }} AS arm, {{ early }} AS early, {{ late }} AS late, {{ mismatched }} AS mismatched
    FROM {{ relation }}
    WHERE {{ where }}
),
timely AS (
    SELECT unit, arm, mismatched FROM exposure WHERE NOT early AND NOT late
),
per_unit AS (
    SELECT unit, count(arm) AS with_arm FROM timely GROUP BY unit
)
SELECT
    (SELECT count(*) FROM {{ relation }}) AS all_rows,
    (SELECT count(*) FROM exposure) AS experiment_rows,
    (SELECT count(*) FROM exposure WHERE early) AS early_rows,
    (SELECT count(*) FROM exposure WHERE late AND NOT early) AS late_rows,
    (SELECT count(*) FROM timely WHERE arm IS NULL) AS null_arm_rows,
    (SELECT count(*) FROM per_unit WHERE with_arm = 0) AS null_arm_units,
    (SELECT count(*) FROM timely WHERE mismatched AND arm IS NOT NULL) AS mismatched_rows
