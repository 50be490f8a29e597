{{ config(order_by=['user_id', 'movie_id']) }}

select
    user_id,
    movie_id,
    rating,
    rated_at,
    updated_at,
    version,
    {{ run_began() }} as built_at
from {{ ref('stg_ratings') }}
