-- Purpose: one row per unit of the population with every metric's per-unit value, all metrics in one pass.
-- Inputs:  population (unit, event_unit, arm, exposed_at, t0, bucket, segments), each source's clean rows.
-- Output:  arm; bucket; segments; y… outcomes and denominators; x… covariates. Null means "does not count".
WITH members AS (
    SELECT * FROM population WHERE bucket >= {{ bucket_low }} AND bucket < {{ bucket_high }}
){% for source in sources %},
rows_{{ loop.index }} AS (
    SELECT {{ source.unit }} AS event_unit{% if source.time %}, {{ source.time }} AS ts{% endif %}{% for column in source.inputs %},
        {{ column.sql }} AS {{ column.name }}{% endfor %}

    FROM {{ source.relation }}
    WHERE {{ source.where }}
){% if source.grouped %},
totals_{{ loop.index }} AS (
    SELECT members.unit{% for column in source.totals %},
        {{ column.sql }} AS {{ column.name }}{% endfor %}

    FROM members JOIN rows_{{ loop.index }} AS r ON r.event_unit = members.event_unit
    GROUP BY members.unit
){% endif %}{% endfor %}
SELECT
    members.arm,
    members.bucket{% for name in segments %},
    members.{{ name }}{% endfor %}{% for column in outputs %},
    {{ column.sql }} AS {{ column.name }}{% endfor %}

FROM members
{% for source in sources %}{% if source.grouped %}LEFT JOIN totals_{{ loop.index }} ON totals_{{ loop.index }}.unit = members.unit
{% else %}LEFT JOIN rows_{{ loop.index }} ON rows_{{ loop.index }}.event_unit = members.event_unit
{% endif %}{% endfor %}
