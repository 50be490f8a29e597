{#- Whether the user and the film of a row are there. Foreign keys see to that at the source, unless they are off
    (session_replication_role = replica: restores, subscriptions). Rows whose user or film is gone are in raw, as they
    are at the source, and in no mart; the reconciliation counts them. -#}
{% macro has_user_and_film() -%}
user_id in (select user_id from {{ source('raw', 'users') }} final)
    and movie_id in (select movie_id from {{ source('raw', 'movies') }} final)
{%- endmacro %}
