-- Purpose: how many units have been seen for so many whole days since they entered, to choose a common cohort.
-- Inputs:  population (t0 in UTC); the first moment that no longer counts.
-- Output:  one row: units (with a time of entry); per number of days k: d_k, units seen for k days or longer.
SELECT
    count(t0) AS units{% for k in days %},
    sum(CASE WHEN t0 + INTERVAL '{{ k * 86400 }}' SECOND <= {{ until }} THEN 1 ELSE 0 END) AS d_{{ k }}{% endfor %}

FROM {{ relation }}
