-- Purpose: the units that are in two experiments at once, each with both arms.
-- Inputs:  the sealed populations of both experiments.
-- Output:  unit; event_unit (by which they are joined, as text); arm (both arms, parted by the separator); first_arm;
--          second_arm; exposed_at (the earlier exposure); t0 (the later one, from when both treatments act); bucket.
SELECT
    one.unit,
    one.event_unit,
    one.arm || {{ separator }} || other.arm AS arm,
    one.arm AS first_arm,
    other.arm AS second_arm,
    least(one.t0, other.t0) AS exposed_at,
    greatest(one.t0, other.t0) AS t0,
    one.bucket
FROM {{ first }} AS one
JOIN {{ second }} AS other ON CAST(other.event_unit AS VARCHAR) = CAST(one.event_unit AS VARCHAR)
