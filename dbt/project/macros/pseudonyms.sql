{#- The columns of a model that hold pseudonyms, each with the regular expression of their form. They are the
    columns of the contract's classes `email` and `name`, in the table that the model is named after. -#}
{% macro pseudonym_patterns(model) -%}
{{ return(fromjson(env_var('DATAFLIX_DBT_PSEUDONYMS')).get(model.identifier | replace('stg_', ''), {})) }}
{%- endmacro %}
