-- Purpose: sums of outcome and denominator by cluster and arm, for the clustered reading.
-- Inputs:  unit_values with the cluster's column.
-- Output:  cluster; arm; and per metric m: d_m (units, or the denominator's sum) and y_m (the outcome's sum).
SELECT {{ cluster }} AS cluster, arm{% for sum in sums %},
    {{ sum.sql }} AS {{ sum.name }}{% endfor %}

FROM {{ relation }}
WHERE {{ cluster }} IS NOT NULL
GROUP BY {{ cluster }}, arm
ORDER BY cluster, arm
