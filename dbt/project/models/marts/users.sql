{{ config(order_by=['user_id']) }}

with
    watches as (
        select user_id, count() as watched_count
        from {{ ref('stg_watched_movies') }}
        group by user_id
    ),
    statistics as (
        select
            user_id,
            count() as rating_count,
            avg(rating) as rating_mean,
            stddevPop(rating) as rating_stddev,
            min(rated_at) as first_rated_at,
            max(rated_at) as last_rated_at
        from {{ ref('ratings') }}
        group by user_id
    )
select
    users.user_id as user_id,
    users.name as name,
    users.email as email,
    users.birth_year as birth_year,
    users.city as city,
    users.state as state,
    users.created_at as created_at,
    users.updated_at as updated_at,
    coalesce(watches.watched_count, 0) as watched_count,
    coalesce(statistics.rating_count, 0) as rating_count,
    if(rating_count = 0, null, statistics.rating_mean) as rating_mean,
    if(rating_count = 0, null, statistics.rating_stddev) as rating_stddev,
    if(rating_count = 0, null, statistics.first_rated_at) as first_rated_at,
    if(rating_count = 0, null, statistics.last_rated_at) as last_rated_at,
    {{ run_began() }} as built_at
from {{ ref('stg_users') }} as users
left join watches on watches.user_id = users.user_id
left join statistics on statistics.user_id = users.user_id
