"""Stars, fold-in, order and reasons, against figures worked out by hand or in another way."""

from dataclasses import replace

import numpy as np
import pytest

from dataflix_recommender import (
    Model,
    Profile,
    Votes,
    fold_in,
    predict_stars,
    rank,
    reasons,
    scores,
    similar,
    stars_deviation,
    votes,
)
from dataflix_recommender.model import FloatArray
from dataflix_training.experiment import run_experiment
from support.ratings import synthetic_ratings
from support.recommender import small_model, uncertain_model


@pytest.fixture(scope="module")
def trained() -> Model:
    return run_experiment(synthetic_ratings(users=300, items=200, rows=12_000), pin_svd=True).model


def test_stars_are_mean_biases_and_product_of_factors() -> None:
    model = small_model()
    stars = predict_stars(model, fold_in(model, model.profile(1)), [10, 20, 30, 40, 999])
    assert stars.tolist() == [4.75, 3.75, 4.25, 3.0, 3.75]


def test_stars_stay_within_the_scale() -> None:
    model = small_model()
    stranger = fold_in(model, model.profile(77))
    assert predict_stars(model, stranger, [10]).tolist() == [4.0]
    kind = model.profile(77, fresh={10: 5.0, 20: 5.0, 30: 5.0})
    assert predict_stars(model, fold_in(model, kind), [10, 20, 30, 40]).max() <= 5.0


def test_nothing_moves_without_a_fresh_rating() -> None:
    model = small_model()
    taste = fold_in(model, model.profile(1))
    assert (taste.bias, taste.factors.tolist()) == (0.25, [1.0, 0.0])


def test_a_stranger_is_folded_in_by_ridge_regression() -> None:
    model = small_model()
    taste = fold_in(model, model.profile(77, fresh={10: 5.0, 30: 1.0}))
    rows = np.asarray([[1, 0.5, 0], [1, 1, 1]])
    # the same minimum as least squares with one more row for each parameter that pulls it to zero
    stacked = np.vstack([rows, np.diag(np.sqrt(model.ridge))])
    targets = np.asarray([5.0 - 3.5 - 0.5, 1.0 - 3.5 + 0.5, 0, 0, 0])
    expected = np.linalg.lstsq(stacked, targets, rcond=None)[0]
    assert np.allclose([taste.bias, *taste.factors], expected)


def test_a_fold_in_is_the_posterior_where_the_model_says_what_it_does_not_know() -> None:
    model = uncertain_model()
    taste = fold_in(model, model.profile(77, fresh={10: 5.0, 30: 1.0}))
    rows = np.asarray([[1, 0.5, 0], [1, 1, 1]])
    variances = 0.5 + np.asarray([0.1, 0.4])
    prior = np.diag(model.ridge) / 0.5  # the ridge is the noise over the prior's variances
    covariance = np.linalg.inv(prior + rows.T @ np.diag(1 / variances) @ rows)
    expected = covariance @ rows.T @ (np.asarray([1.0, -2.0]) / variances)
    assert np.allclose([taste.bias, *taste.factors], expected)
    assert taste.covariance is not None
    assert np.allclose(taste.covariance, covariance)
    deviations = stars_deviation(model, taste, [40, 50, 999])
    asked = np.asarray([[1, -1, 0], [1, 0.5, 0.5], [1, 0, 0]])
    unknown = 0.5 + np.asarray([0.8, 1.0, 0]) + np.einsum("nf,fg,ng->n", asked, covariance, asked)
    assert deviations is not None
    assert np.allclose(deviations, 1.1 * np.sqrt(unknown))


def test_what_is_known_of_someone_is_the_less_the_fewer_ratings_there_are() -> None:
    model = uncertain_model()
    found = [
        stars_deviation(model, fold_in(model, model.profile(77, fresh=fresh)), [30])
        for fresh in ({}, {10: 4.0}, {10: 4.0, 20: 4.0, 40: 3.0})
    ]
    widths = [float(one[0]) for one in found if one is not None]
    assert len(widths) == 3
    assert widths == sorted(widths, reverse=True)


def test_a_film_without_ratings_has_stars_where_the_model_believes_something_of_it() -> None:
    model = uncertain_model()
    taste = fold_in(model, model.profile(77))
    assert predict_stars(model, taste, [50, 999]).tolist() == [3.75, 3.5]
    assert stars_deviation(small_model(), fold_in(small_model(), small_model().profile(1)), [10]) is None


def test_many_ratings_and_few_give_the_same_minimum(trained: Model) -> None:
    ids = trained.item_ids[np.argsort(-trained.rating_counts)]
    for count in (len(trained.ridge) - 1, len(trained.ridge), len(trained.ridge) + 1):
        stars = np.tile([5.0, 0.5, 3.0], count)[:count]
        profile = trained.profile_from_ratings(10**9, ids[:count], stars)
        taste = fold_in(trained, profile)
        rows = np.column_stack([np.ones(count), trained.item_factors[profile.items]])
        targets = profile.ratings - trained.global_mean - trained.item_bias[profile.items]
        expected = np.linalg.solve(rows.T @ rows + np.diag(trained.ridge), rows.T @ targets)
        assert np.allclose([taste.bias, *taste.factors], expected)


def test_old_ratings_keep_their_say_in_a_fold_in() -> None:
    model = small_model()
    before = np.asarray([0.25, 1.0, 0.0])
    taste = fold_in(model, model.profile(1, fresh={30: 1.0}))
    rows = np.asarray([[1, 0.5, 0], [1, 0, 0.5], [1, 1, 1]])
    stacked = np.vstack([rows, np.diag(np.sqrt(model.ridge))])
    targets = np.concatenate([rows[:2] @ before, [1.0 - 3.5 + 0.5], np.sqrt(model.ridge) * before])
    expected = np.linalg.lstsq(stacked, targets, rcond=None)[0]
    assert np.allclose([taste.bias, *taste.factors], expected)


def test_a_fresh_rating_draws_the_prediction_towards_it(trained: Model) -> None:
    user, movie = int(trained.user_ids[3]), int(trained.item_ids[np.argmax(trained.rating_counts)])
    stars = [
        predict_stars(trained, fold_in(trained, trained.profile(user, fresh=fresh)), [movie])[0]
        for fresh in ({movie: 0.5}, {movie: 5.0})
    ]
    assert stars[0] < stars[1]


def test_scores_are_weights_times_rows() -> None:
    model = small_model()
    mean = (8.0 + 5 * 3.5) / 7
    liked, less = 5.0 - mean + 0.5, 3.0 - mean + 0.5
    expected = [0, 0.1 * liked, 0.4 * liked + 0.3 * less, -0.2 * liked]
    prior = 0.2 / (1 + 2 / 10) * model.popularity
    assert np.allclose(scores(model, model.profile(1)) - prior, expected)
    tuned = replace(model, watched=2.0)
    assert np.allclose(scores(tuned, tuned.profile(1)) - prior, np.add(expected, [0, 0.15, 1.05, -0.3]))


def test_the_fewer_ratings_the_more_popularity_counts() -> None:
    model = small_model()
    none = np.zeros(0, np.int64)
    silent = Votes(none, none.astype(np.float64), none, none.astype(np.bool_))
    apart = [
        np.ptp(scores(model, model.profile(77, fresh=dict.fromkeys(rated, 3.0)), silent))
        for rated in ([], [10], [10, 20, 30])
    ]
    assert apart == pytest.approx([0.2, 0.2 / 1.1, 0.2 / 1.3])


def test_a_ranking_leaves_out_what_was_rated_or_excluded() -> None:
    model = small_model()
    assert rank(model, model.profile(1)).item_ids.tolist() == [30, 40]
    assert rank(model, model.profile(1), exclude=[30, 999]).item_ids.tolist() == [40]
    assert rank(model, model.profile(1), count=0).item_ids.tolist() == []
    every = {10: 5.0, 20: 5.0, 30: 5.0, 40: 5.0}
    assert rank(model, model.profile(1, fresh=every)).item_ids.tolist() == []


def test_a_ranking_can_be_bounded_to_some_films_and_show_rated_ones() -> None:
    model = small_model()
    assert rank(model, model.profile(1), rated=True).item_ids.tolist()[0] == 30
    assert sorted(rank(model, model.profile(1), rated=True).item_ids.tolist()) == [10, 20, 30, 40]
    some = np.asarray([True, False, False, True])
    assert rank(model, model.profile(1), among=some).item_ids.tolist() == [40]
    assert rank(model, model.profile(1), among=some, rated=True, exclude=[40]).item_ids.tolist() == [10]


def test_who_has_rated_nothing_gets_the_popularity_list() -> None:
    model = small_model()
    assert rank(model, model.profile(77)).item_ids.tolist() == [40, 10, 20, 30]
    assert rank(model, model.profile(77, fresh={999: 5.0})).item_ids.tolist() == [40, 10, 20, 30]


def test_a_film_that_nobody_has_rated_gets_the_last_of_so_many_places() -> None:
    model = uncertain_model()
    someone = model.profile(77, fresh={10: 5.0})
    assert rank(model, someone).item_ids.tolist() == [30, 20, 40, 50], "after all others"
    assert rank(model, someone, 3, new_every=2).item_ids.tolist() == [30, 50, 20]
    assert rank(model, someone, 1, new_every=2).item_ids.tolist() == [30]
    assert rank(model, someone, 4, new_every=3).item_ids.tolist() == [30, 20, 50, 40]
    loathing = model.profile(77, fresh={10: 0.5})
    assert rank(model, loathing, 3, new_every=3).item_ids.tolist().count(50) == 0, "nothing speaks for it"
    assert rank(model, someone, 4, exclude=[50], new_every=2).item_ids.tolist() == [30, 20, 40]
    assert rank(model, someone, 4, exclude=[20, 30], new_every=4).item_ids.tolist() == [40, 50]


def test_similar_films_are_the_strongest_of_the_row() -> None:
    model = small_model()
    assert similar(model, 10).item_ids.tolist() == [30, 20]
    assert similar(model, 10, count=1).item_ids.tolist() == [30]
    assert similar(model, 40).item_ids.tolist() == []
    assert similar(model, 999).item_ids.tolist() == []


def test_the_reason_is_the_rated_film_that_speaks_for_it_most() -> None:
    model = small_model()
    assert reasons(model, model.profile(1), [30, 40, 999]) == [[10], [], []]
    assert reasons(model, model.profile(1, fresh={10: 0.5, 20: 5.0}), [30]) == [[20]]


def test_a_second_reason_is_named_when_it_speaks_half_as_much() -> None:
    model = small_model()
    both = model.profile(77, fresh={10: 5.0, 20: 5.0})
    assert reasons(model, both, [30, 30, 40]) == [[10, 20], [10, 20], []]  # 0.4 and 0.3 of the same stars
    weaker = model.profile(77, fresh={20: 3.9, 10: 5.0})
    assert reasons(model, weaker, [30]) == [[10]]


def test_reasons_are_those_of_a_slow_count(trained: Model) -> None:
    for user in trained.user_ids[:20].tolist():
        profile = trained.profile(int(user))
        best = rank(trained, profile, 10).item_ids
        given = votes(trained, profile)
        starts = np.concatenate([[0], given.ends[:-1]])
        for film, found in zip(best.tolist(), reasons(trained, profile, best, given), strict=True):
            place = int(trained.items([film])[0])
            speaking = []
            for number, (start, end) in enumerate(zip(starts, given.ends, strict=True)):
                inside = given.items[start:end] == place
                said = float(given.values[start:end][inside].sum())
                if given.liked[number] and said > 0:
                    speaking.append((-said, number))
            speaking.sort()
            expected = [number for said, number in speaking[:2] if said <= speaking[0][0] / 2]
            assert found == trained.item_ids[profile.items[expected]].tolist()


def test_a_five_lifts_similar_films_and_a_half_lowers_them(trained: Model) -> None:
    for place in np.argsort(-trained.rating_counts)[:20]:
        movie = int(trained.item_ids[place])
        near = trained.items(similar(trained, movie, 5).item_ids)
        for user in (int(trained.user_ids[7]), 10**9):
            history = trained.profile(user)
            if place in history.items:
                continue
            before = liking(trained, history)
            loved = liking(trained, trained.profile(user, {movie: 5.0}))
            hated = liking(trained, trained.profile(user, {movie: 0.5}))
            assert loved[near].mean() > before[near].mean() > hated[near].mean()


def liking(model: Model, profile: Profile) -> FloatArray:
    """The scores without the prior, which is the less the more ratings there are."""
    return scores(model, profile) - 0.2 / (1 + len(profile.items) / 10) * model.popularity


def test_equal_scores_come_in_the_order_of_ids(trained: Model) -> None:
    first = rank(trained, trained.profile(1), 10)
    again = rank(trained, trained.profile(1), 5)
    assert first.item_ids[:5].tolist() == again.item_ids.tolist()
    assert np.all(np.diff(first.scores) <= 0)
