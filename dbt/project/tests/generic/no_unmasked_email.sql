{#- No text of any column holds an address that is not masked. -#}
{% test no_unmasked_email(model) %}
{%- set tests = [] -%}
{%- if execute -%}
  {%- for column in adapter.get_columns_in_relation(model) if 'String' in column.dtype -%}
    {%- set text = "arrayStringConcat(" ~ column.quoted ~ ", ' ')" if column.dtype.startswith('Array')
                   else "coalesce(" ~ column.quoted ~ ", '')" -%}
    {%- do tests.append("notEmpty(" ~ unmasked_addresses(text) ~ ")") -%}
  {%- endfor -%}
{%- endif %}
select 1
from {{ model }}
where {{ tests | join('\n    or ') if tests else 'false' }}
{% endtest %}
