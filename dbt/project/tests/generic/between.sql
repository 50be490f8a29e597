{#- Every value that is not NULL lies between two numbers, on a multiple of `step` if one is given. -#}
{% test between(model, column_name, low, high, step=none) %}
select 1
from {{ model }}
where {{ column_name }} < {{ low }} or {{ column_name }} > {{ high }}
{%- if step is not none %}
    or {{ column_name }} / {{ step }} != floor({{ column_name }} / {{ step }})
{%- endif %}
{% endtest %}
