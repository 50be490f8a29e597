-- The matrix has the ratings of the mart that it was made from, no more and no less.
with cells as (
    select user_id, movie_id, rating
    from {{ ref('user_movie_matrix') }}
    where rating is not null
)
{{ different_keys('cells', ref('ratings'), ['user_id', 'movie_id'], ['rating']) }}
