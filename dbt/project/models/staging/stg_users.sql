select
    user_id,
    name,
    email,
    birth_year,
    city,
    state,
    created_at,
    updated_at,
    _version as version
from {{ source('raw', 'users') }} final
