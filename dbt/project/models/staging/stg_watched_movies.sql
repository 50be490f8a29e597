select
    user_id,
    movie_id,
    watched_at,
    _version as version
from {{ source('raw', 'watched_movies') }} final
where {{ has_user_and_film() }}
