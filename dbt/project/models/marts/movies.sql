{{ config(order_by=['movie_id']) }}

{#- bayesian_rating = (m * C + sum of the film's ratings) / (m + number of the film's ratings)

    with C the mean of all ratings and m the ratings of C that every film starts with. It is the mean of the
    posterior for a normal prior of mean C (Gelman et al., Bayesian Data Analysis, 3rd ed., 2.5), and
    IMDb's weighted rating with its m. -#}
with
    watches as (
        select movie_id, count() as watched_count
        from {{ ref('stg_watched_movies') }}
        group by movie_id
    ),
    statistics as (
        select
            movie_id,
            count() as rating_count,
            sum(rating) as rating_sum,
            avg(rating) as rating_mean,
            stddevPop(rating) as rating_stddev,
            min(rated_at) as first_rated_at,
            max(rated_at) as last_rated_at
        from {{ ref('ratings') }}
        group by movie_id
    ),
    prior as (
        select
            toFloat64({{ var('bayesian_prior_ratings') }}) as weight,
            if(count() = 0, null, avg(rating)) as mean
        from {{ ref('ratings') }}
    )
select
    movies.movie_id as movie_id,
    movies.title as title,
    movies.release_year as release_year,
    movies.genres as genres,
    movies.overview as overview,
    movies.created_at as created_at,
    coalesce(watches.watched_count, 0) as watched_count,
    coalesce(statistics.rating_count, 0) as rating_count,
    if(rating_count = 0, null, statistics.rating_mean) as rating_mean,
    if(rating_count = 0, null, statistics.rating_stddev) as rating_stddev,
    (prior.weight * prior.mean + coalesce(toFloat64(statistics.rating_sum), 0))
        / (prior.weight + rating_count) as bayesian_rating,
    if(rating_count = 0, null, statistics.first_rated_at) as first_rated_at,
    if(rating_count = 0, null, statistics.last_rated_at) as last_rated_at,
    {{ run_began() }} as built_at
from {{ ref('stg_movies') }} as movies
left join watches on watches.movie_id = movies.movie_id
left join statistics on statistics.movie_id = movies.movie_id
cross join prior
