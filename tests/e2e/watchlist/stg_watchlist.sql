select
    user_id,
    movie_id,
    recommended_by,
    added_at,
    _version as version
from {{ source('raw', 'watchlist') }} final
