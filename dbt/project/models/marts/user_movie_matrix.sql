{{ config(order_by=['user_id', 'movie_id']) }}

{#- Put together by grouping and not by a join: a rating can be here a moment before the watching that it belongs
    to, and groups go to disk when there are too many of them. -#}
with
    cells as (
        select
            user_id,
            movie_id,
            toNullable(watched_at) as watched_at,
            cast(null as Nullable(Decimal(2, 1))) as rating,
            cast(null as Nullable(DateTime64(6, 'UTC'))) as rated_at
        from {{ ref('stg_watched_movies') }}
        union all
        select user_id, movie_id, null, rating, rated_at
        from {{ ref('ratings') }}
    ),
    means as (
        select user_id, avg(rating) as rating_mean
        from {{ ref('ratings') }}
        group by user_id
    )
select
    pairs.user_id as user_id,
    pairs.movie_id as movie_id,
    pairs.watched_at as watched_at,
    pairs.rating as rating,
    pairs.rated_at as rated_at,
    toFloat64(pairs.rating) - means.rating_mean as deviation,
    {{ run_began() }} as built_at
from (
    select
        user_id,
        movie_id,
        max(cells.watched_at) as watched_at,
        max(cells.rating) as rating,
        max(cells.rated_at) as rated_at
    from cells
    group by user_id, movie_id
) as pairs
left join means on means.user_id = pairs.user_id
