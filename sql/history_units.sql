-- Purpose: when each unit of some past days would have entered, had enrolment opened on their first moment.
-- Inputs:  the clean rows of one source with a clock.
-- Output:  unit; event_unit; arm ('history'); t0 and exposed_at (its first row that is meant); bucket (0-127,
--          storage salt); cluster where one is declared (the smallest of a unit's).
SELECT
    entered.unit,
    entered.unit AS event_unit,
    'history' AS arm,
    entered.t0 AS exposed_at,
    entered.t0,
    {{ bucket }} AS bucket{% if cluster %},
    entered.cluster{% endif %}

FROM (
    SELECT
        {{ unit }} AS unit,
        min({{ time }}) AS t0{% if cluster %},
        min(CAST({{ cluster }} AS VARCHAR)) AS cluster{% endif %}

    FROM {{ relation }}
    WHERE {{ time }} >= {{ since }} AND {{ time }} < {{ until }} AND ({{ where }})
    GROUP BY {{ unit }}
) AS entered
ORDER BY bucket, entered.unit
