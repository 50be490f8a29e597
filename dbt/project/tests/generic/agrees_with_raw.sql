{#- The mart has just the rows of a raw table, with the same values. What changed in raw since the run began
    is left to the next one.

    `owned`: rows whose user or film is gone are not wanted, so that a row is not judged either if its user or its film
    changed since. -#}
{% test agrees_with_raw(model, raw_table, key, columns, owned=false) %}
with wanted as (
    select {{ (key + columns) | join(', ') }}
    from {{ source('raw', raw_table) }} final
    {%- if owned %}
    where {{ has_user_and_film() }}
    {%- endif %}
),
different as (
    {{ different_keys('wanted', model, key, columns) }}
)
select *
from different
where ({{ key | join(', ') }}) not in ({{ changed_lately(model, raw_table, key) }})
{%- if owned %}
    and user_id not in ({{ changed_lately(model, 'users', ['user_id']) }})
    and movie_id not in ({{ changed_lately(model, 'movies', ['movie_id']) }})
{%- endif %}
{% endtest %}
