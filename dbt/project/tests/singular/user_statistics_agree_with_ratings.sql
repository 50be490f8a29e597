-- The users' counts and sums are those of the ratings that they were made from.
with summed as (
    select user_id, count() as rating_count, toFloat64(sum(rating)) as rating_sum
    from {{ ref('ratings') }}
    group by user_id
)
select users.user_id
from {{ ref('users') }} as users
left join summed on summed.user_id = users.user_id
where users.rating_count != summed.rating_count
    or abs(coalesce(users.rating_mean, 0) * users.rating_count - summed.rating_sum) > 1e-6 * (1 + summed.rating_sum)
