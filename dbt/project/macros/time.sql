{#- When this run began: every row of every mart carries it. -#}
{% macro run_began() -%}
toDateTime64('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] }}', 3, 'UTC')
{%- endmacro %}

{#- What came into raw from this moment on is not judged by tests of `model`: it may have come too late for
    the build. The margin is for rows of one transaction, which reach raw through topics of their own. -#}
{% macro settled_before(model) -%}
(select if(count() = 0, now64(3, 'UTC'), min(built_at)) - interval {{ var('settling_seconds') | int }} second from {{ model }})
{%- endmacro %}

{#- The keys of a raw table that changed since. -#}
{% macro changed_lately(model, raw_table, key) -%}
select {{ key | join(', ') }} from {{ source('raw', raw_table) }} where _ingested_at >= {{ settled_before(model) }}
{%- endmacro %}
