{#- The mart has just the rows of a raw table, with the same values. What changed in raw since the run began
    is left to the next one. -#}
{% test agrees_with_raw(model, raw_table, key, columns) %}
{%- set wanted = (key + columns) | join(', ') %}
with
    in_raw as (select {{ wanted }} from {{ source('raw', raw_table) }} final),
    in_mart as (select {{ wanted }} from {{ model }}),
    differences as (
        select 'not in the mart' as fault, * from (select * from in_raw except select * from in_mart)
        union all
        select 'not in raw' as fault, * from (select * from in_mart except select * from in_raw)
    )
select fault, {{ key | join(', ') }}
from differences
where ({{ key | join(', ') }}) not in ({{ changed_lately(model, raw_table, key) }})
{% endtest %}
