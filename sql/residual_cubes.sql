-- Purpose: sums of cubed residuals, by which ratio and adjusted estimates have a skewness.
-- Inputs:  unit_values; per residual r its SQL over one arm's units, null elsewhere.
-- Output:  one row; per residual its sum of cubes, null where no unit counts.
SELECT {% for r in residuals %}
    sum({{ r.name }} * {{ r.name }} * {{ r.name }}) AS {{ r.name }}{{ "," if not loop.last }}{% endfor %}

FROM (
    SELECT {% for r in residuals %}
        {{ r.sql }} AS {{ r.name }}{{ "," if not loop.last }}{% endfor %}

    FROM {{ relation }}
) AS each
