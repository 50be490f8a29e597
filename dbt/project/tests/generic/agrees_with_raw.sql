{#- The mart has just the rows of a raw table, with the same values. What changed in raw since the run began
    is left to the next one. -#}
{% test agrees_with_raw(model, raw_table, key, columns) %}
with different as (
    {{ different_keys(source('raw', raw_table) ~ ' final', model, key, columns) }}
)
select *
from different
where ({{ key | join(', ') }}) not in ({{ changed_lately(model, raw_table, key) }})
{% endtest %}
