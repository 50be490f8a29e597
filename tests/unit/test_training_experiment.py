"""Splits, ranker, metrics, gate, and a whole training without servers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dataflix_contract.faults import Fault
from dataflix_recommender import NO_TITLE, digest
from dataflix_training.ease import co_ratings, covered_items, ease, strongest
from dataflix_training.experiment import run_experiment, why_not
from dataflix_training.fitting import title_digests, with_films
from dataflix_training.gate import Champion, decide, same_data, sample
from dataflix_training.plots import draw, top_movies
from dataflix_training.ratings import Ratings, in_order, split_latest
from dataflix_training.recipe import Recipe
from dataflix_training.scores import Scores, errors, ranking_scores
from dataflix_training.synthetic import synthetic_ratings


@pytest.fixture(scope="module")
def ratings() -> Ratings:
    return synthetic_ratings(users=300, items=200, rows=12_000)


def test_the_latest_of_everybody_is_held_out(ratings: Ratings) -> None:
    rest, test = split_latest(ratings, 0.2)
    assert len(rest) + len(test) == len(ratings)
    assert 0.15 < len(test) / len(ratings) < 0.2
    assert set(test.user_ids) <= set(rest.user_ids)
    last = pd.Series(rest.rated_at).groupby(rest.user_ids).max()
    first = pd.Series(test.rated_at).groupby(test.user_ids).min()
    assert (last.loc[first.index] <= first).all()


def test_who_has_rated_little_stays_whole() -> None:
    few = in_order(np.ones(4, np.int64), np.arange(4), np.full(4, 3.0), np.arange(4), 1)
    rest, test = split_latest(few, 0.2)
    assert (len(rest), len(test)) == (4, 0)


def test_the_digest_is_of_the_ratings_not_of_their_order_or_versions(ratings: Ratings) -> None:
    turned = in_order(
        ratings.user_ids[::-1], ratings.movie_ids[::-1], ratings.stars[::-1], ratings.rated_at[::-1], 7
    )
    assert turned.digest() == ratings.digest()
    changed = replace(ratings, stars=ratings.stars + 0.5)
    assert changed.digest() != ratings.digest()


def test_ease_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    seen = rng.random((60, 12)) < 0.3
    users, items = np.nonzero(seen)
    covered = np.arange(12)
    gram = co_ratings(users, items, covered, 12)
    x = seen.astype(float)
    assert np.array_equal(np.triu(gram), np.triu(x.T @ x))
    inverse = np.linalg.inv(x.T @ x + 5 * np.eye(12))
    expected = np.eye(12) - inverse / np.diag(inverse)
    assert np.allclose(ease(gram, 5.0), expected)
    rows = strongest(ease(gram, 5.0), covered, 12, 3)
    for item in range(12):
        kept = rows.items[rows.start[item] : rows.start[item + 1]]
        assert set(kept) == set(np.argsort(-np.abs(expected[item]))[:3])


def test_the_ranker_covers_the_most_rated_up_to_its_limit() -> None:
    items = np.repeat([0, 1, 2, 3], [5, 9, 1, 7])
    assert covered_items(items, 4, fewest=2, most=2).tolist() == [1, 3]
    assert covered_items(items, 4, fewest=2, most=9).tolist() == [0, 1, 3]


def test_metrics_as_worked_out_by_hand() -> None:
    rmse, mae = errors(np.asarray([1.0, 2.0]), np.asarray([2.0, 4.0]))
    assert (rmse, mae) == pytest.approx((np.sqrt(2.5), 1.5))
    shown = [np.arange(10), np.arange(10, 20)]
    liked = [np.asarray([0, 2, 99]), np.asarray([5])]
    ndcg, recall, coverage = ranking_scores(shown, liked, 40)
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    assert ndcg == pytest.approx((1 + 1 / 2) / ideal / 2)
    assert recall == pytest.approx((2 / 3 + 0) / 2)
    assert coverage == 0.5


GOOD = Scores(0.85, 0.6, 0.2, 0.1, 0.3)
POPULAR, MEAN = Scores(1.0, 0.8, 0.1, 0.05, 0.01), Scores(1.05, 0.8, None, None, None)


def test_the_first_model_must_beat_the_baselines() -> None:
    assert decide(GOOD, 1000, POPULAR, MEAN, None).alias == "champion"
    poor = decide(replace(GOOD, ndcg_at_10=0.05), 1000, POPULAR, MEAN, None)
    assert (poor.alias, poor.reasons) == ("challenger", ("nDCG@10 is worse than that of popularity",))


@pytest.mark.parametrize(
    ("champion", "alias"),
    [
        (GOOD, "champion"),
        (replace(GOOD, rmse=0.86, ndcg_at_10=0.19), "champion"),
        (replace(GOOD, rmse=0.84), "challenger"),
        (replace(GOOD, ndcg_at_10=0.21), "challenger"),
    ],
)
def test_the_champion_gives_way_to_better_or_equal_on_both(champion: Scores, alias: str) -> None:
    assert decide(GOOD, 1000, POPULAR, MEAN, Champion(1000, champion)).alias == alias


def test_far_fewer_ratings_than_the_champion_had_are_no_reason_to_replace_it() -> None:
    decision = decide(GOOD, 700, POPULAR, MEAN, Champion(1000, GOOD))
    assert decision.alias == "challenger"
    assert "far fewer" in decision.reasons[0]


def test_a_recipe_survives_its_tag() -> None:
    recipe = Recipe(factors=7, penalty=0.3)
    assert Recipe.from_json(recipe.to_json()) == recipe
    with pytest.raises(ValueError, match="not a recipe"):
        Recipe.from_json('{"unheard": 1}')


def test_equal_data_and_seed_make_equal_models(ratings: Ratings) -> None:
    first, second = run_experiment(ratings), run_experiment(ratings)
    assert digest(first.model) == digest(second.model)
    assert first.scores == second.scores


def test_the_champions_recipe_is_kept_unless_another_is_clearly_better(ratings: Ratings) -> None:
    tuned = run_experiment(ratings).recipe
    told: list[float] = []
    again = run_experiment(ratings, tuned, lambda _text, share: told.append(share))
    assert again.recipe == tuned
    assert again.champion == again.scores["dataflix"]
    assert told == sorted(told)
    other = run_experiment(ratings, replace(tuned, learning_rate=1e-5))
    assert other.recipe.learning_rate > 1e-5
    assert other.champion
    assert (other.champion.rmse or 0) > (other.scores["dataflix"].rmse or 0)


def test_the_deployed_model_knows_every_rating(ratings: Ratings) -> None:
    model = run_experiment(ratings).model
    assert len(model.history_items) == len(ratings)
    user = int(ratings.user_ids[0])
    mine = ratings[ratings.user_ids == user]
    profile = model.profile(user)
    given = dict(zip(mine.movie_ids.tolist(), mine.stars.tolist(), strict=True))
    assert dict(zip(model.item_ids[profile.items].tolist(), profile.ratings.tolist(), strict=True)) == given


def test_too_few_ratings_are_refused_with_advice() -> None:
    with pytest.raises(Fault, match="dataflix-import"):
        run_experiment(synthetic_ratings(users=10, items=30, rows=100))
    nothing = np.zeros(0, np.int64)
    with pytest.raises(Fault, match="too few"):
        run_experiment(in_order(nothing, nothing, np.zeros(0), nothing, 0))


@pytest.mark.parametrize("films", [400, 1200])
def test_films_that_few_have_rated_make_a_model_without_a_ranker(films: int) -> None:
    """A young service with a large catalogue: 1,200 ratings, 3 or 1 of each film."""
    numbers = np.arange(1200)
    users = 1 + numbers % 100
    stars = (8 + numbers // 100 % 3).astype(np.float64) / 2
    found = run_experiment(in_order(users, numbers * 7 % films, stars, numbers, 1))
    assert len(found.model.history_items) == 1200
    assert np.isfinite(found.scores["dataflix"].rmse or np.nan)


def people_with(films: int, people: int = 300, stars: float | None = None) -> Ratings:
    """People who have rated so many films each: with these stars, or with 3 to 5 in turn."""
    users = np.repeat(np.arange(1, people + 1), films)
    movies = (np.arange(len(users)) * 7) % 101
    given = np.full(len(users), stars) if stars else 3.0 + np.arange(len(users)) % 3
    return in_order(users, movies, given.astype(np.float64), np.arange(len(users)), 1)


@pytest.mark.parametrize(
    ("ratings", "why"),
    [
        (people_with(5, people=1), "5 ratings are too few, 1000 are needed"),
        (people_with(0), "0 ratings are too few"),
        (people_with(10, stars=5.0), "all 3000 ratings are of 5 stars"),
        (people_with(10, stars=0.5), "all 3000 ratings are of 0.5 stars"),
        (people_with(1, people=2000), "0 people have rated 5 films or more"),
        (people_with(100, people=15), "15 people have rated"),
        (people_with(5), "nobody has rated enough films"),
    ],
)
def test_ratings_that_no_model_can_be_made_of_are_told_with_what_is_shown(ratings: Ratings, why: str) -> None:
    told = why_not(ratings)
    assert why in told
    assert "the most popular films are shown, until" in told
    with pytest.raises(Fault, match="most popular"):
        run_experiment(ratings)


def test_people_who_only_dislike_have_nobody_who_could_judge() -> None:
    low = people_with(10)
    assert "liked one of the latest" in why_not(replace(low, stars=low.stars - 2))


def test_ratings_that_differ_a_little_are_enough(ratings: Ratings) -> None:
    assert why_not(ratings) == ""
    nearly_equal = people_with(20, stars=5.0)
    nearly_equal.stars[::50] = 4.5
    assert why_not(nearly_equal) == ""
    scores = run_experiment(nearly_equal).scores
    assert all(np.isfinite(value) for score in scores.values() for value in score.known().values())


def titled(ratings: Ratings, word: str = "Film") -> Any:
    return title_digests(ratings, {one: (f"{word} {one}", 2000) for one in range(10_000)})


def test_a_champion_of_other_data_is_no_rival(ratings: Ratings) -> None:
    hashes = ratings.hashes(titled(ratings))
    champions = sample(hashes)
    assert len(champions) == 64
    assert same_data(champions, len(ratings), hashes)
    half = hashes[: len(hashes) // 3]
    assert same_data(champions, len(ratings), half), "half a load is not other data"
    newcomers = synthetic_ratings(users=600, items=200, rows=40_000, seed=5)
    grown = np.concatenate([hashes, newcomers.hashes(titled(newcomers))])
    assert same_data(champions, len(ratings), grown), "grown data are the same"
    others = synthetic_ratings(users=300, items=200, rows=12_000, seed=1)
    assert not same_data(champions, len(ratings), others.hashes(titled(others))), "other people, same films"
    fewer = others[np.arange(2000)]
    assert not same_data(champions, len(ratings), fewer.hashes(titled(fewer))), "a smaller set"
    assert not same_data(champions, len(ratings), ratings.hashes(titled(ratings, "Other"))), "other films"
    decision = decide(GOOD, 100, POPULAR, MEAN, None, other_data=True)
    assert decision.alias == "champion"
    assert "other data" in decision.reasons[0]
    assert decide(replace(GOOD, ndcg_at_10=0.05), 100, POPULAR, MEAN, None, other_data=True).alias == (
        "challenger"
    )


@pytest.mark.filterwarnings("ignore:Glyph")
def test_titles_as_people_type_them_can_be_drawn(ratings: Ratings, tmp_path: Path) -> None:
    experiment = run_experiment(ratings)
    odd = [
        "$5 a Day_ and $\\frac",
        "D@bbe",
        'He said "no", (2)',
        "\U0001f984 名前",
        " ",
        "{x}^",
        "a\tb\nc",
        "#&%",
    ]
    titles = dict(zip(top_movies(experiment), odd, strict=False))
    draw(experiment, titles, tmp_path)
    assert (tmp_path / "top_movies.png").stat().st_size > 0


def test_a_model_is_told_which_films_it_is_of(ratings: Ratings) -> None:
    model = run_experiment(ratings).model
    films = {int(one): (f"Film {one}", 1990) for one in model.item_ids[1:]}
    named = with_films(model, films)
    assert named.item_titles is not None
    assert named.item_years is not None
    assert named.item_titles[0] == NO_TITLE
    assert len(set(named.item_titles.tolist())) == len(model.item_ids)
    assert set(named.item_years[1:].tolist()) == {1990}


def test_on_movielens_stars_and_order_beat_surprises_svd(movielens: Path) -> None:
    frame = pd.read_csv(movielens / "ratings.csv")
    users, movies, stars, at = (
        frame[name].to_numpy() for name in ("userId", "movieId", "rating", "timestamp")
    )
    scores = run_experiment(in_order(users, movies, stars, at, 1)).scores
    ours, svd, popularity = (scores[name].known() for name in ("dataflix", "surprise_svd", "popularity"))
    assert ours["rmse"] <= svd["rmse"]
    assert ours["ndcg_at_10"] >= 2 * svd["ndcg_at_10"]
    assert ours["ndcg_at_10"] > popularity["ndcg_at_10"]
