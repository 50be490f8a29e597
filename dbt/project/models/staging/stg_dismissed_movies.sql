select
    user_id,
    movie_id,
    dismissed_at,
    _version as version
from {{ source('raw', 'dismissed_movies') }} final
where {{ has_user_and_film() }}
