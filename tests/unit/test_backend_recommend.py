"""Which reply comes of a model, a catalogue and someone's films; and when its tag changes."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from dataflix_backend.recommendations.catalogue import Films
from dataflix_backend.recommendations.model_store import Champion
from dataflix_backend.recommendations.recommend import Query, entity_tag, make_reply
from dataflix_backend.recommendations.served_model import MOST_REPLIES, CachedReply, Served, Serving, combine
from dataflix_backend.recommendations.user_films import BIGINTS, SMALLINTS, UserFilms, numbers
from dataflix_recommender import identities
from support.recommender import small_model, uncertain_model

GENRES = {10: ["Drama"], 20: ["Comedy"], 30: ["Drama", "Comedy"], 40: [], 50: ["Drama"], 60: []}
CHAMPION = Champion(
    version=3, digest="d" * 64, run_id="r", trained_at=datetime(2026, 1, 1, tzinfo=UTC), metrics={}
)


def catalogue(*movie_ids: int, version: int = 1) -> Films:
    films = {
        one: {"movie_id": one, "title": f"Film {one}", "release_year": 1990, "genres": GENRES[one]}
        for one in movie_ids
    }
    return Films(version, films)


def with_model(*movie_ids: int) -> Serving:
    films = catalogue(*(movie_ids or (10, 20, 30, 40)))
    return combine(films, Served(CHAMPION, small_model()), "registry")


def user(
    user_id: int, ratings: dict[int, float], watched: tuple[int, ...] = (), dismissed: tuple[int, ...] = ()
) -> UserFilms:
    rated = np.asarray(sorted(ratings), np.int64)
    seen = np.asarray(sorted({*ratings, *watched}), np.int64)
    stars = np.asarray([ratings[one] for one in sorted(ratings)])
    unwanted = np.asarray(dismissed, np.int64)
    return UserFilms(user_id, seen, rated, stars, unwanted, repr((seen, rated, stars, unwanted)).encode())


def ids(reply: dict[str, Any]) -> list[int]:
    return [item["movie_id"] for item in reply["items"]]


def test_a_person_of_the_training_gets_films_stars_and_reasons() -> None:
    reply = make_reply(with_model(), user(1, {10: 5.0, 20: 3.0}), Query(10))
    assert ids(reply) == [30, 40]
    assert reply["strategy"] == "personal"
    assert reply["based_on"] == {"ratings": 2, "fresh_ratings": 0}
    best = reply["items"][0]
    assert (best["stars"], best["stars_deviation"]) == (4.25, None)
    assert best["because"] == {"movie_id": 10, "title": "Film 10"}
    assert best["reasons"] == [best["because"]]
    assert (best["title"], best["release_year"], best["genres"]) == ("Film 30", 1990, ["Drama", "Comedy"])
    assert reply["items"][1]["because"] is None


def test_stars_come_with_a_standard_deviation_where_the_model_has_one() -> None:
    serving = combine(catalogue(10, 20, 30, 40, 60), Served(CHAMPION, uncertain_model()), "registry")
    items = make_reply(serving, user(1, {10: 5.0, 20: 3.0}), Query(10))["items"]
    assert [item["movie_id"] for item in items] == [30, 40, 60]
    assert all(0.7 < item["stars_deviation"] < 2 for item in items[:2])
    assert items[2]["stars_deviation"] is None, "as its stars"


def test_films_that_nobody_has_rated_are_marked_and_follow_the_others_in_a_short_list() -> None:
    serving = combine(catalogue(10, 20, 30, 40, 50, 60), Served(CHAMPION, uncertain_model()), "registry")
    items = make_reply(serving, user(1, {10: 5.0, 20: 3.0}), Query(10))["items"]
    assert [(item["movie_id"], item["new"]) for item in items] == [
        (30, False),
        (40, False),
        (50, True),
        (60, True),
    ]
    assert items[2]["because"] == {"movie_id": 10, "title": "Film 10"}
    assert items[2]["stars"] is not None
    assert items[3]["stars"] is None, "added since the model was trained"


def test_a_fresh_rating_counts_and_is_counted() -> None:
    reply = make_reply(with_model(), user(1, {10: 5.0, 20: 3.0, 30: 1.0}), Query(10))
    assert reply["based_on"] == {"ratings": 3, "fresh_ratings": 1}
    assert ids(reply) == [40]


def test_who_has_rated_nothing_gets_the_popularity_list_with_stars() -> None:
    reply = make_reply(with_model(), user(77, {}), Query(3))
    assert (ids(reply), reply["strategy"]) == ([40, 10, 20], "popular")
    assert all(item["stars"] for item in reply["items"])


def test_the_first_rating_makes_it_personal() -> None:
    reply = make_reply(with_model(), user(77, {10: 5.0}), Query(1))
    assert (ids(reply), reply["strategy"]) == ([30], "personal")


def test_a_rating_of_a_film_that_the_model_does_not_know_is_fresh() -> None:
    reply = make_reply(with_model(10, 20, 30, 40, 50), user(77, {50: 5.0}), Query(1))
    assert reply["based_on"] == {"ratings": 1, "fresh_ratings": 1}
    assert reply["strategy"] == "popular"


def test_watched_films_are_left_out_unless_they_are_wanted() -> None:
    someone = user(1, {10: 5.0, 20: 3.0}, watched=(30,))
    assert ids(make_reply(with_model(), someone, Query(10))) == [40]
    assert sorted(ids(make_reply(with_model(), someone, Query(10, unwatched=False)))) == [10, 20, 30, 40]


def test_dismissed_films_are_left_out_whatever_is_asked_for() -> None:
    someone = user(1, {10: 5.0, 20: 3.0}, dismissed=(20, 30))
    assert ids(make_reply(with_model(), someone, Query(10))) == [40]
    assert sorted(ids(make_reply(with_model(), someone, Query(10, unwatched=False)))) == [10, 40]
    assert ids(make_reply(with_model(10, 20, 30, 40, 60), user(1, {}, dismissed=(60,)), Query(10)))[-1] != 60
    popular = Serving(catalogue(10, 20, 30)).with_popular([(30, 1.0), (20, 0.5), (10, 0.0)])
    stranger = user(77, {}, dismissed=(30,))
    assert ids(make_reply(popular, stranger, Query(2))) == [20, 10]
    assert entity_tag(popular, stranger, Query(2)) != entity_tag(popular, user(77, {}), Query(2))


def test_diversity_is_asked_for_with_each_reply() -> None:
    stranger = user(77, {10: 4.0})
    alike = combine(catalogue(10, 20, 30, 40), Served(CHAMPION, small_model()), "registry")
    plain, diverse = Query(2), Query(2, diversity=1.0)
    assert ids(make_reply(alike, stranger, plain))[0] == ids(make_reply(alike, stranger, diverse))[0] == 30
    assert ids(make_reply(alike, stranger, plain)) == [30, 20]
    assert ids(make_reply(alike, stranger, diverse)) == [30, 40]
    assert entity_tag(alike, stranger, plain) != entity_tag(alike, stranger, diverse)


def test_a_genre_bounds_the_choice() -> None:
    someone = user(77, {})
    assert ids(make_reply(with_model(), someone, Query(10, "Comedy"))) == [20, 30]
    assert ids(make_reply(with_model(), someone, Query(10, "Western"))) == []


def test_two_films_are_named_where_both_speak_for_one() -> None:
    someone = user(77, {10: 5.0, 20: 5.0})
    best = make_reply(with_model(), someone, Query(1))["items"][0]
    assert [reason["title"] for reason in best["reasons"]] == ["Film 10", "Film 20"]
    assert best["because"] == best["reasons"][0]
    best = make_reply(with_model(20, 30), someone, Query(1))["items"][0]
    assert best["because"] == {"movie_id": 20, "title": "Film 20"}, "the other one is gone"


def test_a_film_that_is_gone_is_neither_shown_nor_a_reason() -> None:
    someone = user(1, {10: 5.0, 20: 3.0})
    assert ids(make_reply(with_model(10, 20, 30), someone, Query(10))) == [30]
    assert make_reply(with_model(20, 30), someone, Query(10))["items"][0]["because"] is None


@pytest.mark.parametrize("genre", ["", "Drama"])
def test_a_film_that_went_after_the_catalogue_was_read_is_neither_shown_nor_a_reason(genre: str) -> None:
    serving, someone = with_model(10, 20, 30, 40, 50), user(1, {10: 5.0})
    before = make_reply(serving, someone, Query(10, genre))
    assert {30, 50} <= set(ids(before))
    assert before["items"][0]["because"] == {"movie_id": 10, "title": "Film 10"}
    later = serving.without({10, 30, 50})
    reply = make_reply(later, someone, Query(10, genre))
    assert not {10, 30, 50} & set(ids(reply))
    assert all(item["because"] is None for item in reply["items"])
    assert entity_tag(later, someone, Query(10, genre)) != entity_tag(serving, someone, Query(10, genre))
    popular = Serving(catalogue(10, 20)).with_popular([(10, 1.0), (20, 0.5)])
    assert ids(make_reply(popular.without({10}), user(9, {}), Query(10))) == [20]
    assert serving.films.by_id.keys() == {10, 20, 30, 40, 50}  # what is served by others is as it was


def test_without_a_model_the_popular_films_are_shown() -> None:
    serving = Serving(catalogue(10, 20, 30), popular=[(30, 1.0), (20, 0.5), (99, 0.4), (10, 0.0)])
    reply = make_reply(serving, user(1, {20: 4.0}), Query(5))
    assert ids(reply) == [30, 10]
    assert {(item["stars"], item["because"]) for item in reply["items"]} == {(None, None)}
    assert reply["strategy"] == "popular"
    assert ids(make_reply(serving, user(1, {20: 4.0}), Query(1, "Comedy", unwatched=False))) == [30]


def test_a_list_that_the_model_cannot_fill_goes_on_with_new_films() -> None:
    serving = with_model(10, 20, 30, 40, 50, 60)
    reply = make_reply(serving, user(1, {10: 5.0, 20: 3.0}), Query(10))
    assert ids(reply) == [30, 40, 60, 50], "the model's own first, then the newest"
    assert [item["score"] is None for item in reply["items"]] == [False, False, True, True]
    assert [item["stars"] is None for item in reply["items"]] == [False, False, True, True]
    assert ids(make_reply(serving, user(1, {10: 5.0, 20: 3.0}), Query(2))) == [30, 40]
    assert ids(make_reply(serving, user(1, {10: 5.0, 20: 3.0}), Query(3))) == [30, 40, 60]
    everything = user(1, {10: 5.0}, watched=(20, 30, 40))
    assert ids(make_reply(serving, everything, Query(10))) == [60, 50]
    assert ids(make_reply(serving, everything, Query(10, "drama"))) == [50]
    assert ids(make_reply(serving, user(1, {}, watched=(10, 20, 30, 40, 50, 60)), Query(10))) == []
    shown = ids(make_reply(serving, everything, Query(10, unwatched=False)))
    assert sorted(shown) == [10, 20, 30, 40, 50, 60]
    assert shown[-2:] == [60, 50]


@pytest.mark.parametrize("genre", ["Comedy", "comedy", "COMEDY", " Comedy "])
def test_a_genre_is_found_in_any_case(genre: str) -> None:
    someone = user(77, {})
    assert ids(make_reply(with_model(), someone, Query(10, genre))) == [20, 30]
    popular = Serving(catalogue(10, 20, 30), popular=[(30, 1.0), (20, 0.5), (10, 0.0)])
    assert ids(make_reply(popular, someone, Query(10, genre))) == [30, 20]


def test_a_catalogue_without_films_has_nothing_to_show() -> None:
    for serving in (Serving(catalogue()), combine(catalogue(), served_of(catalogue(10, 20, 30, 40)), "disk")):
        reply = make_reply(serving, user(1, {}), Query(10))
        assert (reply["items"], reply["strategy"]) == ([], "popular")


def served_of(films: Films) -> Served:
    """The small model, trained with these films."""
    model = small_model()
    known = [films.by_id.get(one) for one in model.item_ids.tolist()]
    titles, years = identities(
        None if film is None else (film["title"], film["release_year"]) for film in known
    )
    return Served(CHAMPION, replace(model, item_titles=titles, item_years=years))


def renamed(films: Films, **changes: Any) -> Films:
    """The same films with something changed in each."""
    return Films(2, {one: {**film, **changes, "movie_id": one} for one, film in films.by_id.items()})


def test_a_model_of_another_catalogue_is_not_served_and_said_to_be_so() -> None:
    films = catalogue(10, 20, 30, 40)
    served = served_of(films)
    assert combine(films, served, "registry").served is served
    other = combine(renamed(films, title="Another", release_year=2024), served, "registry")
    assert other.served is None
    assert other.unfit
    assert (other.unfit.version, other.unfit.reason) == (3, "other_catalogue")
    assert other.unfit.text.startswith(
        "champion version 3, not served: made for another catalogue; popular films are served"
    )
    shown = make_reply(other.with_popular([(20, 1.0), (10, 0.5)]), user(1, {10: 5.0}), Query(10))
    assert (ids(shown), shown["strategy"]) == ([20], "popular")
    assert {item["stars"] for item in shown["items"]} == {None}


def test_a_film_that_became_another_has_neither_the_old_one_s_merits_nor_its_voice() -> None:
    films = catalogue(10, 20, 30, 40)
    served = served_of(films)
    changed = {**films.by_id[30], "title": "Another", "release_year": 2024}
    serving = combine(Films(2, {**films.by_id, 30: changed}), served, "registry")
    reply = make_reply(serving, user(1, {10: 5.0, 20: 3.0}), Query(10))
    assert ids(reply) == [40, 30], "as a new film, behind those that the model knows"
    assert (reply["items"][1]["stars"], reply["items"][1]["because"]) == (None, None)
    reply = make_reply(serving, user(77, {30: 5.0}), Query(10))
    assert (reply["strategy"], reply["based_on"]["fresh_ratings"]) == ("popular", 1)
    assert all(item["because"] is None for item in reply["items"])
    retitled = {**films.by_id[30], "title": "A Translation"}
    assert combine(Films(2, {**films.by_id, 30: retitled}), served, "registry").present is None


def test_the_tag_of_a_genre_s_popular_films_changes_with_all_of_them() -> None:
    serving, someone = Serving(catalogue(10, 20, 30)), user(77, {})
    before = serving.with_popular([(10, 1.0), (30, 0.5), (20, 0.4)])
    after = serving.with_popular([(10, 1.0), (20, 0.5), (30, 0.4)])
    query = Query(1, "Comedy")
    assert ids(make_reply(before, someone, query)) != ids(make_reply(after, someone, query))
    assert entity_tag(before, someone, query) != entity_tag(after, someone, query)
    assert entity_tag(before, someone, Query(1)) == entity_tag(after, someone, Query(1))


def test_the_tag_is_the_same_for_the_same() -> None:
    someone = user(1, {10: 5.0})
    assert entity_tag(with_model(), someone, Query(10)) == entity_tag(with_model(), someone, Query(10))


@pytest.mark.parametrize(
    ("serving", "someone", "query"),
    [
        (with_model(), user(1, {10: 4.5}), Query(10)),
        (with_model(), user(1, {}), Query(10)),
        (with_model(), user(1, {10: 5.0}, watched=(20,)), Query(10)),
        (with_model(), user(2, {10: 5.0}), Query(10)),
        (with_model(), user(1, {10: 5.0}), Query(11)),
        (with_model(), user(1, {10: 5.0}), Query(10, "Drama")),
        (with_model(), user(1, {10: 5.0}), Query(10, unwatched=False)),
        (replace(with_model(), source="disk"), user(1, {10: 5.0}), Query(10)),
        (replace(with_model(), films=catalogue(10, 20, 30, 40, version=2)), user(1, {10: 5.0}), Query(10)),
        (
            replace(with_model(), served=Served(CHAMPION.model_copy(update={"version": 4}), small_model())),
            user(1, {10: 5.0}),
            Query(10),
        ),
    ],
)
def test_the_tag_changes_with_all_that_a_reply_depends_on(
    serving: Serving, someone: UserFilms, query: Query
) -> None:
    assert entity_tag(serving, someone, query) != entity_tag(with_model(), user(1, {10: 5.0}), Query(10))


def test_replies_are_kept_while_what_they_were_made_from_is_served() -> None:
    serving = with_model()
    for number in range(MOST_REPLIES):
        serving.remember(str(number), CachedReply("tag", b"{}", []))
    assert len(serving.replies) == MOST_REPLIES
    serving.remember("one more", CachedReply("tag", b"{}", []))
    assert serving.replies == {"one more": ("tag", b"{}", [])}
    assert with_model().replies == {}


def test_arrays_are_read_from_postgresql_s_binary_form() -> None:
    sent = bytes.fromhex(
        "00000001000000000000001400000002000000010000000800000000000000070000000880000000000000ff"
    )
    assert numbers(sent, BIGINTS).tolist() == [7, -(2**63) + 255]
    short = bytes.fromhex("000000010000000000000015000000010000000100000002000a")
    assert numbers(short, SMALLINTS).tolist() == [10]
    assert numbers(bytes.fromhex("000000000000000000000014"), BIGINTS).tolist() == []
