-- Purpose: one row per unit, at its first exposure: when, in which arm, and whether it met others.
-- Inputs:  the clean rows of the population's source, already limited to this experiment and as-of.
-- Output:  unit; arm (of the first exposure); met_several (bool); t0 (UTC, null without a clock);
--          n_rows; n_mismatched; members (different ones of a cluster); and the carried columns, valued at the
--          first exposure.
-- Ties:    rows at the same time count in file order.
WITH exposure AS (
    SELECT
        {{ unit }} AS unit,
        {{ arm }} AS arm,
        {{ time }} AS ts,
        _row,
        {% for column in carried %}{{ column.sql }} AS {{ column.name }},
        {% endfor %}{% if member %}{{ member }} AS member,
        {% endif %}{{ mismatched }} AS mismatched
    FROM {{ relation }}
    WHERE {{ where }}
),
kept AS (
    SELECT * FROM exposure WHERE arm IS NOT NULL{% if drop_mismatched %} AND NOT mismatched{% endif %}
),
per_unit AS (
    SELECT
        unit,
        min(ts) AS t0,
        min(arm) <> max(arm) AS met_several,
        count(*) AS n_rows,{% if member %}
        count(DISTINCT member) AS members,{% endif %}
        sum(CASE WHEN mismatched THEN 1 ELSE 0 END) AS n_mismatched
    FROM kept
    GROUP BY unit
),
first_row AS (
    SELECT kept.unit, min(kept._row) AS _row
    FROM kept JOIN per_unit ON kept.unit = per_unit.unit AND (kept.ts = per_unit.t0 OR per_unit.t0 IS NULL)
    GROUP BY kept.unit
)
SELECT
    per_unit.unit,
    kept.arm,
    per_unit.met_several,
    per_unit.t0,
    per_unit.n_rows,
    per_unit.n_mismatched{% if member %},
    per_unit.members{% endif %}{% for column in carried %},
    kept.{{ column.name }}{% endfor %}
FROM per_unit
JOIN first_row ON first_row.unit = per_unit.unit
JOIN kept ON kept._row = first_row._row
