"""A model's arrays: what fits together, and what survives a file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataflix_recommender import (
    Model,
    ModelError,
    digest,
    fold_in,
    identities,
    load,
    load_unpacked,
    match_catalogue,
    popularity,
    save,
    unpack,
)
from support.recommender import small_model, uncertain_model


def test_a_saved_model_comes_back_bit_by_bit(tmp_path: Path) -> None:
    model = small_model()
    saved = save(model, tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert saved == digest(model) == digest(loaded)
    for name, array in model.arrays().items():
        assert np.array_equal(array, loaded.arrays()[name]), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.npz"]


def test_a_model_unpacked_for_sharing_is_mapped_and_equal(tmp_path: Path) -> None:
    model = small_model()
    save(model, tmp_path / "model.npz")
    unpack(tmp_path / "model.npz", tmp_path / "unpacked")
    mapped = load_unpacked(tmp_path / "unpacked")
    assert digest(mapped) == digest(model)
    assert isinstance(mapped.item_factors.base, np.memmap)
    assert not mapped.item_factors.flags.writeable
    with pytest.raises(ModelError, match="no unpacked model"):
        load_unpacked(tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    save(small_model(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="is no model"):
        load(path)


def test_arrays_that_do_not_match_their_digest_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    save(small_model(), path)
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["item_bias"] = arrays["item_bias"] + 1
    np.savez(path, **arrays)
    with pytest.raises(ModelError, match="damaged"):
        load(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", format=np.asarray(99))
    with pytest.raises(ModelError, match="format 99"):
        load(tmp_path / "model.npz")


def test_pickled_content_is_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", format=np.asarray([{"any": "object"}], dtype=object))
    with pytest.raises(ModelError):
        load(tmp_path / "model.npz")


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("item_bias", np.zeros(1, np.float32), "item_bias has the shape"),
        ("ridge", np.zeros(1), "ridge has the shape"),
        ("ranker_items", np.full(6, 99, np.int32), "rows of ranker"),
        ("item_ids", np.asarray([4, 3, 2, 1]), "item_ids must rise"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(name: str, value: Any, fault: str) -> None:
    with pytest.raises(ModelError, match=fault):
        replace(small_model(), **{name: value})


def test_unknown_ids_have_no_place() -> None:
    model = small_model()
    assert model.items([10, 11, 40, -5, 2**40]).tolist() == [0, -1, 3, -1, -1]
    assert (model.user(1), model.user(3), model.user(10**12)) == (0, -1, -1)


def test_a_profile_has_the_newest_rating_of_each_film() -> None:
    profile = small_model().profile(1, fresh={20: 0.5, 40: 4.0, 999: 5.0})
    assert profile.items.tolist() == [0, 1, 3]
    assert profile.ratings.tolist() == [5.0, 0.5, 4.0]
    assert profile.fresh.tolist() == [False, True, True]


def test_a_stranger_has_an_empty_profile() -> None:
    profile = small_model().profile(77)
    assert (profile.user, len(profile.items)) == (-1, 0)


def test_a_model_of_nothing_knows_nothing() -> None:
    empty: Any = np.zeros(0, np.int64)
    start: Any = np.zeros(1, np.int64)
    factors: Any = np.zeros((0, 2))
    model = Model(
        *(empty, empty, empty, empty, factors, factors, np.ones(3)),
        *(start, empty, empty, start, empty, empty, empty, empty),
        global_mean=3.5,
        rating_min=0.5,
        rating_max=5.0,
        max_version=0,
    )
    assert model.items([1]).tolist() == [-1]


def test_current_ratings_beside_those_of_the_training() -> None:
    model = small_model()
    same = model.profile_from_ratings(1, [10, 20], [5.0, 3.0])
    assert (same.user, same.items.tolist(), same.fresh.tolist()) == (0, [0, 1], [False, False])
    newer = model.profile_from_ratings(1, [40, 10, 999, 20], [4.0, 5.0, 1.0, 3.0])
    assert (newer.user, newer.items.tolist()) == (0, [0, 1, 3])
    assert newer.ratings.tolist() == [5.0, 3.0, 4.0]
    assert newer.fresh.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("movie_ids", "stars", "fresh"),
    [
        ([10], [5.0], [False]),  # a rating was taken back
        ([10, 20], [5.0, 4.5], [False, True]),  # changed
        ([30], [2.0], [True]),  # nothing is left of what was known
    ],
)
def test_what_rests_on_ratings_that_no_longer_hold_is_not_used(
    movie_ids: list[int], stars: list[float], fresh: list[bool]
) -> None:
    model = small_model()
    profile = model.profile_from_ratings(1, movie_ids, stars)
    assert (profile.user, profile.fresh.tolist()) == (-1, fresh)
    assert profile.ratings.tolist() == stars
    stranger = fold_in(model, model.profile_from_ratings(77, movie_ids, stars))
    taste = fold_in(model, profile)
    assert (taste.bias, taste.factors.tolist()) == (stranger.bias, stranger.factors.tolist())


def test_no_ratings_are_an_empty_profile() -> None:
    model = small_model()
    for user in (1, 77):
        profile = model.profile_from_ratings(user, [], [])
        assert (profile.user, len(profile.items), len(profile.fresh)) == (-1, 0, 0)


def test_a_model_knows_its_films_by_title_and_year(tmp_path: Path) -> None:
    model = titled_model()
    save(model, tmp_path / "model.npz")
    unpack(tmp_path / "model.npz", tmp_path / "unpacked")
    assert (
        digest(load(tmp_path / "model.npz")) == digest(load_unpacked(tmp_path / "unpacked")) == digest(model)
    )
    with np.load(tmp_path / "model.npz", allow_pickle=False) as archive:
        assert int(archive["format"]) == 2
    save(replace(model, watched=0.25), tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as archive:
        assert int(archive["format"]) == 3
    assert load(tmp_path / "model.npz").watched == 0.25

    with pytest.raises(ModelError, match="belong together"):
        replace(model, item_years=None)
    with pytest.raises(ModelError, match="item_titles has the shape"):
        replace(model, item_titles=np.zeros(1, np.int64))


def test_a_model_that_says_what_it_does_not_know_is_kept_whole(tmp_path: Path) -> None:
    model = uncertain_model()
    save(model, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as archive:
        assert int(archive["format"]) == 4
    unpack(tmp_path / "model.npz", tmp_path / "unpacked")
    for found in (load(tmp_path / "model.npz"), load_unpacked(tmp_path / "unpacked")):
        assert digest(found) == digest(model)
        assert (found.noise, found.calibration) == (0.5, 1.1)
    with pytest.raises(ModelError, match="item_variance has the shape"):
        replace(model, item_variance=np.zeros(7, np.float32))


def test_a_package_of_before_titles_were_kept_is_read_and_belongs_everywhere(tmp_path: Path) -> None:
    save(small_model(), tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as archive:
        assert int(archive["format"]) == 1
        assert "item_titles" not in archive.files
    old = load(tmp_path / "model.npz")
    found = match_catalogue(old, *identities([("Film", 1990), None, ("Other", 2000), ("Film", None)]))
    assert found.belongs
    assert found.same.tolist() == found.present.tolist() == [True, False, True, True]


FILMS: list[tuple[str, int | None]] = [("The Matrix", 1999), ("Se7en", 1995), ("D@bbe", 2006), ("Up", None)]


def titled_model() -> Model:
    titles, years = identities(FILMS)
    return replace(small_model(), item_titles=titles, item_years=years)


@pytest.mark.parametrize(
    ("now", "belongs", "same"),
    [
        (FILMS, True, [True, True, True, True]),
        ([("the  matrix!", 1999), ("SE7EN", 1995), FILMS[2], FILMS[3]], True, [True, True, True, True]),
        # a title alone, a year alone: corrections; both at once: another film
        ([("Matrix", 1999), ("Se7en", 1996), ("Alien", 1979), FILMS[3]], True, [True, True, False, True]),
        ([FILMS[0], None, None, None], True, [True, False, False, False]),
        (
            [("Heat", 1995), ("Casino", 1995), ("Cars", 2006), ("Ran", 1985)],
            False,
            [False, True, True, False],
        ),
        ([("Heat", None), ("Casino", None), ("Cars", None), ("Ran", None)], False, [False] * 4),
        ([None, None, None, None], False, [False] * 4),
    ],
)
def test_a_model_belongs_to_a_catalogue_that_has_its_films(
    now: list[tuple[str, int | None] | None], belongs: bool, same: list[bool]
) -> None:
    found = match_catalogue(titled_model(), *identities(now))
    assert (found.belongs, found.same.tolist()) == (belongs, same)


def test_where_all_ratings_are_equal_the_most_rated_film_is_the_most_popular() -> None:
    counts = np.asarray([3, 9, 0, 6])
    assert popularity(counts, counts * 5.0, 5.0).tolist() == pytest.approx([1 / 3, 1, 0, 2 / 3])
    assert popularity(np.zeros(2, np.int64), np.zeros(2), 0.0).tolist() == [0, 0]
