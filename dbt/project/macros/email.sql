{#- The addresses in a text that are no pseudonyms. `x@y`, whatever x and y are, is taken for an address. -#}
{% macro unmasked_addresses(text) -%}
arrayFilter(
    found -> not endsWith(lower(found), '@masked.invalid'),
    extractAll({{ text }}, '[^\\s@]+@[^\\s@]*[^\\s@[:punct:]]')
)
{%- endmacro %}
