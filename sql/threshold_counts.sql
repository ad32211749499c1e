-- Purpose: per cluster, how many units of some arms lie at or below a threshold, for clustered quantiles.
-- Inputs:  unit_values with the cluster's column.
-- Output:  cluster; below (units at or below the threshold); units.
SELECT
    {{ cluster }} AS cluster,
    sum(CASE WHEN {{ value }} <= {{ threshold }} THEN 1 ELSE 0 END) AS below,
    count(*) AS units
FROM {{ relation }}
WHERE {{ cluster }} IS NOT NULL AND {{ value }} IS NOT NULL AND arm IN ({{ arms | join(', ') }})
GROUP BY {{ cluster }}
ORDER BY {{ cluster }}
