{#- Every value that is not NULL has the form of a regular expression (RE2), from its first to its last character. -#}
{% test matches(model, column_name, pattern) %}
select 1
from {{ model }}
where {{ column_name }} is not null and not match({{ column_name }}, '^(?:{{ pattern }})$')
{% endtest %}
