-- The matrix has the ratings of the mart that it was made from, no more and no less.
with
    cells as (
        select user_id, movie_id, toNullable(rating) as rating
        from {{ ref('user_movie_matrix') }}
        where rating is not null
    ),
    rated as (select user_id, movie_id, toNullable(rating) as rating from {{ ref('ratings') }})
select * from (select * from cells except select * from rated)
union all
select * from (select * from rated except select * from cells)
