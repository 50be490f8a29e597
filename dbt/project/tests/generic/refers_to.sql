{#- Every row's value is a key of another mart. The two are built one after the other while the stream goes on, so
    a row is not judged if it, or what it refers to, changed in raw since the run began.

    Arguments: `to` and `field` the other mart and its key, `parent` the other mart's raw table, `children` the raw
    tables that this mart is made of and `key` what they have in common. -#}
{% test refers_to(model, column_name, to, field, parent, children, key) %}
with orphans as (
    select {{ key | join(', ') }}
    from {{ model }}
    where {{ column_name }} not in (select {{ field }} from {{ to }})
)
select *
from orphans
where {{ column_name }} not in ({{ changed_lately(model, parent, [field]) }})
{%- for child in children %}
    and ({{ key | join(', ') }}) not in ({{ changed_lately(model, child, key) }})
{%- endfor %}
{% endtest %}
