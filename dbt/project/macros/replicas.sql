{#- Of several replicas, the one that dbt talks to waits until it has what others were given. -#}
{% macro catch_up() -%}
  {%- for source in graph.sources.values() -%}
    {%- do run_query('SYSTEM SYNC REPLICA ' ~ source.schema ~ '.' ~ source.identifier ~ ' LIGHTWEIGHT') -%}
  {%- endfor -%}
{%- endmacro %}

{#- How many replicas are up. A table that was made lately does not know of those that were down then: raw's do. -#}
{% macro replicas_up() -%}
  {%- set count = "select max(active_replicas) from system.replicas where database = 'raw'" -%}
  {{ return(run_query(count).columns[0].values()[0] | int) }}
{%- endmacro %}
