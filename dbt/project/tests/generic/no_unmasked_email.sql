{#- Every value of a column that the contract masks has the form of a pseudonym. Public columns are not judged: people
    may call a film `D@bbe` and a city `me@home`. That no address reaches them is shown by canaries (tests/e2e/test_privacy.py
    and the checker), not by guessing what people mean. -#}
{% test no_unmasked_email(model) %}
{%- set tests = [] -%}
{%- for column, pattern in pseudonym_patterns(model).items() -%}
  {%- do tests.append("(" ~ column ~ " is not null and not match(" ~ column ~ ", '^(?:" ~ pattern ~ ")$'))") -%}
{%- endfor %}
select 1
from {{ model }}
where {{ tests | join('\n    or ') if tests else 'false' }}
{% endtest %}
