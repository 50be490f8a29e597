"""What people see."""

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dataflix_cli import output
from dataflix_contract.console import Console
from dataflix_contract.terminal import visible

MOVIE = {"movie_id": 76, "title": "The [Godfather]", "release_year": 1972, "genres": ["Crime"]}


def drawn(show: Any, document: Any, *, width: int = 100, **options: Any) -> str:
    screen = Console(file=io.StringIO(), width=width, highlight=False)
    show(screen, document, **options)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def recommendation(movie_id: int, *reasons: str) -> dict[str, Any]:
    named = [{"movie_id": place, "title": title} for place, title in enumerate(reasons)]
    return {
        **MOVIE,
        "movie_id": movie_id,
        "stars": 4.4,
        "stars_deviation": 0.8,
        "score": 1.0,
        "reasons": named,
        "new": False,
    }


def answer(*movie_ids: int, **changes: Any) -> dict[str, Any]:
    return {
        "user_id": 1,
        "items": [recommendation(movie_id, "Heat") for movie_id in movie_ids],
        "based_on": {"ratings": 51, "fresh_ratings": 1},
        "strategy": "personal",
        "model": {"version": 3, "trained_at": "", "age_seconds": 7300, "source": "registry", "run_id": "x"},
        **changes,
    }


def test_a_recommendation_has_stars_and_a_reason() -> None:
    told = drawn(output.recommendations, answer(76))
    assert "The [Godfather] (1972) #76" in told
    assert "★★★★½ 4.4" in told
    assert "Heat" in told
    two = answer(76, items=[recommendation(76, "Heat", "Ronin")])
    assert "Heat and Ronin" in drawn(output.recommendations, two)
    assert "from 51 ratings, 1 of them newer than the model; model 3, 2 h old" in told


def test_a_film_that_nobody_has_rated_is_marked() -> None:
    document = answer(3, 2)
    document["items"][1]["new"] = True
    told = drawn(output.recommendations, document).splitlines()
    assert ["new film" in line for line in told[1:3]] == [False, True]


def test_what_has_moved_since_is_marked() -> None:
    told = drawn(output.recommendations, answer(3, 2, 1, 4), before=[1, 2, 3]).splitlines()
    assert [line[:6].strip() for line in told[1:5]] == ["1  ▲2", "2", "3  ▼2", "4  new"]


def test_without_a_model_that_is_said() -> None:
    document = answer(76, model=None, strategy="popular")
    document["items"][0] |= {"stars": None, "reasons": []}
    told = drawn(output.recommendations, document)
    assert "what is popular" in told
    assert "no model of these films is served yet" in told
    told = drawn(output.similar, {"items": [], "model": None})
    assert told.strip() == "no model of these films is served yet: dataflix status"
    assert "knows no film like it" in drawn(output.similar, {"items": [], "model": answer()["model"]})


def test_a_model_from_this_machine_is_told_of() -> None:
    model = answer()["model"] | {"source": "disk"}
    assert "MLflow is away" in output.basis(answer(76, model=model))


def test_nothing_left_says_what_to_try() -> None:
    assert "another genre" in drawn(output.recommendations, answer())


def test_a_narrow_terminal_wraps_titles_and_keeps_numbers() -> None:
    films = [{**MOVIE, "title": "A very long title " * 4, "rating_count": 12345, "rating_mean": 4.25}]
    told = drawn(output.movies, {"items": films, "more": True}, width=50)
    assert max(map(len, told.splitlines())) <= 50
    assert "12,345" in told
    assert "there are more" in told


HOSTILE = "A\x1b[31mB\x9bC\u202eD :cat: [bold]E[/] \\"
SHOWN = r"A\u001b[31mB\u009bC\u202eD :cat: [bold]E[/]"


def test_titles_and_names_are_text_whatever_they_hold() -> None:
    film = {**MOVIE, "title": HOSTILE, "genres": [HOSTILE], "overview": HOSTILE}
    film |= {"rating_count": 1, "rating_mean": 4.0, "score": 0.5}
    person = {
        "user_id": 1,
        "name": HOSTILE,
        "email": HOSTILE,
        "birth_year": 1980,
        "city": HOSTILE,
        "state": None,
    }
    told = {
        output.movie: film,
        output.movies: {"items": [film]},
        output.similar: {"items": [film], "model": None},
        output.genres: {"items": [{"genre": HOSTILE, "movies": 1}]},
        output.rated: {"items": [{"movie": film, "watched_at": "", "rating": 4.0}]},
        output.recommendations: answer(items=[{**recommendation(1, HOSTILE), "title": HOSTILE}]),
        output.user: person,
        output.users: {"items": [person]},
        output.say(HOSTILE): {},
    }
    for show, document in told.items():
        text = drawn(show, document, width=300)
        assert SHOWN in text
        assert visible(text) == text


def test_json_is_the_same_document_without_what_a_terminal_obeys() -> None:
    text = output.json_text({"title": HOSTILE}, sys.stdout)
    assert json.loads(text) == {"title": HOSTILE}
    assert visible(text) == text


def test_nothing_is_cut_on_a_narrow_terminal() -> None:
    title = "千と千尋の神隠しとても長い題名の映画であって端末の幅を超えるもの"
    films = {"items": [{**MOVIE, "title": title, "rating_count": 1, "rating_mean": 4.0}]}
    told = drawn(output.movies, films, width=40)
    assert "…" not in told
    assert set(title) <= set(told)


def test_lines_break_between_words_on_a_terminal_and_never_for_programs() -> None:
    words = " ".join(["anamorphic"] * 9)
    piped = drawn(output.say(words), {}, width=42)
    screen = Console(file=io.StringIO(), width=42, force_terminal=True, color_system=None)
    output.say(words)(screen, {})
    assert isinstance(screen.file, io.StringIO)
    assert piped == f"{words}\n"
    assert set(screen.file.getvalue().split()) == {"anamorphic"}
    assert screen.file.getvalue().count("\n") == 3


def test_one_rating_is_one() -> None:
    film = {**MOVIE, "rating_count": 1, "rating_mean": 4.5}
    assert "4.5 from 1 rating\n" in drawn(output.movie, film)


def test_somebody_whose_films_no_model_knows_is_not_told_to_rate_one() -> None:
    document = answer(76, strategy="popular", based_on={"ratings": 2, "fresh_ratings": 2})
    assert "the model knows none of the films that you rated yet" in output.basis(document)
    document["based_on"] = {"ratings": 0, "fresh_ratings": 0}
    assert "rate a film" in output.basis(document)


def test_watched_and_not_rated() -> None:
    told = drawn(output.rated, {"items": [{"movie": MOVIE, "watched_at": "", "rating": None}]})
    assert "not rated" in told


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "just now"), (60, "1 min ago"), (7200, "2 h ago"), (200_000, "2 d ago"), (-5, "just now")],
)
def test_how_long_ago(seconds: int, words: str) -> None:
    assert output.ago((datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()) == words
