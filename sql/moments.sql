-- Purpose: shifted sums of every metric by arm and storage bucket, and by arm and segment, in one pass.
-- Inputs:  unit_values; a shift near the mean of every column, so that nothing cancels.
-- Output:  arm; bucket (null in segment rows); one column a segment (null in the others' rows); and per
--          metric m: n_m, s_m_i (sums), p_m_i_j (products, i <= j), c_m_i_j_k (products of three, of variable 0 alone
--          unless a residual's cubes are read from them), z_m (units whose outcome is not 0).
WITH centred AS (
    SELECT arm, bucket{% for name in segments %}, {{ name }}{% endfor %}{% for variable in variables %},
        {{ variable.sql }} AS {{ variable.name }}{% endfor %}

    FROM {{ relation }}
)
SELECT
    arm, bucket{% for name in segments %}, {{ name }}{% endfor %}{% for sum in sums %},
    {{ sum.sql }} AS {{ sum.name }}{% endfor %}

FROM centred
GROUP BY GROUPING SETS ((arm, bucket){% for name in segments %}, (arm, {{ name }}){% endfor %})
ORDER BY arm, bucket{% for name in segments %}, {{ name }}{% endfor %}
