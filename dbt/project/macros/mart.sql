{#- A table that is always whole: it is built aside and put in its place by one atomic statement, at the
    first build too (the adapter's own `table` fills a new table before everybody's eyes). A build that
    is killed leaves the table aside behind, which the next one drops. Where replicas keep the warehouse, all
    that are up have the rows before the table takes its place; one that is down gets them when it is back. -#}
{% materialization mart, adapter='clickhouse' %}
  {%- set target = this.incorporate(type='table') -%}
  {%- set existing = load_cached_relation(this) -%}
  {%- set aside = make_intermediate_relation(target) -%}

  {{ run_hooks(pre_hooks) }}
  {{ drop_relation_if_exists(load_cached_relation(aside)) }}
  {%- if env_var('DATAFLIX_DBT_CLICKHOUSE_CLUSTER') -%}
    {%- do model.config.update(query_settings={'insert_quorum': replicas_up()}) -%}
  {%- endif %}
  {% call statement('main') -%}
    {{ get_create_table_as_sql(False, aside, sql) }}
  {%- endcall %}
  {% do persist_docs(aside, model) %}
  {% if existing is none %}
    {% do adapter.rename_relation(aside, target) %}
  {% else %}
    {% do exchange_tables_atomic(aside, target) %}
    {% do drop_relation_if_exists(aside) %}
  {% endif %}
  {{ run_hooks(post_hooks) }}

  {{ return({'relations': [target]}) }}
{% endmaterialization %}
