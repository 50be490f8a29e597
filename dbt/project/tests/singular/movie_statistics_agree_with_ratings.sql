-- The films' counts and sums are those of the ratings that they were made from.
with summed as (
    select movie_id, count() as rating_count, toFloat64(sum(rating)) as rating_sum
    from {{ ref('ratings') }}
    group by movie_id
)
select movies.movie_id
from {{ ref('movies') }} as movies
left join summed on summed.movie_id = movies.movie_id
where movies.rating_count != summed.rating_count
    or abs(coalesce(movies.rating_mean, 0) * movies.rating_count - summed.rating_sum) > 1e-6 * (1 + summed.rating_sum)
