select
    user_id,
    movie_id,
    rating,
    rated_at,
    updated_at,
    _version as version
from {{ source('raw', 'ratings') }} final
where {{ has_user_and_film() }}
