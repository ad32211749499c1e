-- Purpose: every unit that was exposed, with the one reason that keeps it out of the analysis, if any.
-- Inputs:  assigned (assignments.sql), mapping (identity: unit, event_unit, conflict), trigger (unit, triggered_at).
-- Output:  unit; event_unit (its id in event sources); arm; status; t0; triggered_at; stratum (phase or branch that
--          the design drew it in), designed_arm and recorded_arm (to hold the arm against); bucket (0-127, storage
--          salt); carried columns; segments of other tables (with a level of their own for units that are not in
--          them) and crossed ones. Status: ok, leak, undeclared_arm, multi_arm, mismatch, identity_conflict.
SELECT
    assigned.unit,
    {% if identity %}mapping.event_unit{% else %}assigned.unit{% endif %} AS event_unit,
    assigned.arm,
    CASE
        WHEN {{ leaks }} THEN 'leak'
        WHEN assigned.arm NOT IN ({{ arms | join(', ') }}) THEN 'undeclared_arm'
        {% if exclude_multi %}WHEN assigned.met_several THEN 'multi_arm'
        {% endif %}{% if exclude_mismatched %}WHEN assigned.n_mismatched > 0 THEN 'mismatch'
        {% endif %}{% if identity %}WHEN mapping.conflict THEN 'identity_conflict'
        {% endif %}ELSE 'ok'
    END AS status,
    assigned.met_several,
    assigned.t0,
    {% if triggered %}reached.triggered_at{% else %}CAST(NULL AS TIMESTAMP){% endif %} AS triggered_at,
    assigned.stratum,
    assigned.designed_arm,
    assigned.recorded_arm,
    {{ bucket }} AS bucket{% for column in carried %},
    assigned.{{ column.name }}{% endfor %}{% for column in joined %},
    coalesce({{ column.table }}.{{ column.name }}, {{ missing }}) AS {{ column.name }}{% endfor %}{% for column in crossed %},
    {{ column.sql }} AS {{ column.name }}{% endfor %}
FROM assigned
{% if identity %}LEFT JOIN mapping ON mapping.unit = assigned.unit
{% endif %}{% if triggered %}LEFT JOIN reached ON reached.unit = assigned.unit
{% endif %}{% for table in tables %}LEFT JOIN {{ table }} ON {{ table }}.unit = assigned.unit
{% endfor %}ORDER BY bucket, assigned.unit
