select
    movie_id,
    title,
    release_year,
    genres,
    overview,
    created_at,
    _version as version
from {{ source('raw', 'movies') }} final
