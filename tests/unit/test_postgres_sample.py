"""The sample data: deterministic, plausible, and with tastes that a model can find."""

from collections import Counter
from itertools import islice

import numpy as np
import numpy.typing as npt
import pytest

from dataflix_postgres.generator import FIRST_DAY, Floats, History, catalogue, histories
from dataflix_postgres.made_up_people import person
from dataflix_postgres.seed import sample_rows

USERS = 500

Ids = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def sample() -> list[History]:
    return list(histories(catalogue(), users=USERS, ratings_per_user=50))


def test_the_same_id_is_always_the_same_person() -> None:
    assert person(7) == person(7)
    assert person(7) != person(7, seed=1)
    assert person(1).name == "Dennis Boone"  # changes when the faker library's word lists do: say so then


def test_addresses_are_unique_and_reach_nobody() -> None:
    addresses = [person(user_id).email for user_id in range(1, 20_001)]
    assert len(set(addresses)) == len(addresses)
    assert {address.split("@")[1] for address in addresses} == {"example.com", "example.net", "example.org"}
    assert all(address.isascii() and " " not in address for address in addresses)


def test_a_city_lies_in_its_state() -> None:
    homes = {(who.city, who.state) for who in map(person, range(1, 3000))}
    assert ("Chicago", "Illinois") in homes
    assert {state for city, state in homes if city == "Denver"} == {"Colorado"}
    assert {state for city, state in homes if city == "Portland"} == {"Oregon", "Maine"}


def test_the_catalogue_is_sound() -> None:
    films = catalogue()
    assert len(films) >= 300
    assert len({(film.title, film.release_year) for film in films}) == len(films)
    assert [film.movie_id for film in films] == list(range(1, len(films) + 1))
    for film in films:
        assert 1900 < film.release_year < 2030
        assert film.genres == tuple(sorted(set(film.genres)))
        assert 1 <= film.appeal <= 9
        assert film.overview.endswith(".")
    assert len({genre for film in films for genre in film.genres}) <= 19  # MovieLens' vocabulary


def test_the_same_arguments_make_the_same_histories(sample: list[History]) -> None:
    again = islice(histories(catalogue(), users=USERS, ratings_per_user=50), 20)
    assert list(again) == sample[:20]
    other = next(histories(catalogue(), users=USERS, ratings_per_user=50, seed=1))
    assert other != sample[0]


def test_histories_obey_the_rules_of_the_tables(sample: list[History]) -> None:
    released = {film.movie_id: film.release_year for film in catalogue()}
    for history in sample:
        assert history.joined_at >= FIRST_DAY
        assert len({viewing.movie_id for viewing in history.viewings}) == len(history.viewings) >= 1
        for viewing in history.viewings:
            assert viewing.watched_at >= history.joined_at
            assert viewing.watched_at.year > released[viewing.movie_id]
            assert (viewing.rating is None) == (viewing.rated_at is None)
            if viewing.rating is not None and viewing.rated_at is not None:
                assert viewing.rating in np.arange(0.5, 5.5, 0.5)
                assert viewing.rated_at > viewing.watched_at


def test_rows_carry_each_history_once(sample: list[History]) -> None:
    rows = sample_rows(catalogue(), sample)
    assert (len(rows.users), len(rows.movies)) == (USERS, len(catalogue()))
    assert 20_000 < len(rows.ratings) < len(rows.watched_movies) < 40_000
    assert {row[:2] for row in rows.ratings} < {row[:2] for row in rows.watched_movies}
    assert rows.total == sum(map(len, (rows.users, rows.movies, rows.watched_movies, rows.ratings)))


def test_a_few_films_are_watched_by_many(sample: list[History]) -> None:
    watched = Counter(viewing.movie_id for history in sample for viewing in history.viewings)
    counts = sorted(watched.values(), reverse=True)
    assert sum(counts[: len(counts) // 5]) > 0.35 * sum(counts)


def test_tastes_can_be_learned(sample: list[History]) -> None:
    """On held-out ratings, biases beat the mean clearly, and factors beat biases clearly."""
    rng = np.random.default_rng(1)
    viewings = [(history.user_id - 1, viewing) for history in sample for viewing in history.viewings]
    rows = np.array([(user, v.movie_id - 1, v.rating) for user, v in viewings if v.rating is not None])
    held_out = rng.random(len(rows)) < 0.2
    train, test = rows[~held_out], rows[held_out]
    mean = _rmse(test[:, 2] - train[:, 2].mean())
    biases = _rmse(test[:, 2] - _predictions(train, test, factors=0))
    factors = _rmse(test[:, 2] - _predictions(train, test, factors=6))
    assert biases < 0.85 * mean
    assert factors < 0.9 * biases


def _rmse(errors: Floats) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _predictions(train: Floats, test: Floats, factors: int) -> Floats:
    """Alternating least squares with biases: a user's row and a film's row times each other."""
    users, films, stars = train[:, 0].astype(int), train[:, 1].astype(int), train[:, 2]
    mean = stars.mean()
    sides = (np.ones((USERS, factors + 2)), np.ones((len(catalogue()), factors + 2)))
    sides[0][:, 2:] = np.random.default_rng(2).normal(scale=0.1, size=(USERS, factors))
    # Column 0 is the user's bias times 1, column 1 is 1 times the film's bias.
    for step in range(20):
        side = 1 - step % 2
        _solve(sides, side, (users, films), stars - mean)
    u, f = test[:, 0].astype(int), test[:, 1].astype(int)
    predicted: Floats = np.clip(mean + np.sum(sides[0][u] * sides[1][f], axis=1), 0.5, 5.0)
    return predicted


def _solve(sides: tuple[Floats, Floats], side: int, ids: tuple[Ids, Ids], target: Floats) -> None:
    fixed = 0 if side else 1  # the column that stays 1 on this side
    free = [column for column in range(sides[side].shape[1]) if column != fixed]
    for row in range(len(sides[side])):
        mine = ids[side] == row
        theirs = sides[1 - side][ids[1 - side][mine]]
        rest = target[mine] - theirs[:, fixed]
        matrix = theirs[:, free].T @ theirs[:, free] + 4.0 * np.eye(len(free))
        sides[side][row, free] = np.linalg.solve(matrix, theirs[:, free].T @ rest)
