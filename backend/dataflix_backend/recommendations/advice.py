"""A reply's recommendations from what is served and someone's films. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflix_backend.recommendations.people import Person
from dataflix_backend.recommendations.serving import Served, Serving
from dataflix_backend.text import genre_key
from dataflix_recommender import because, fold_in, predict_stars, rank, votes

_STARS_DIGITS, _SCORE_DIGITS = 2, 6
_TAG_BYTES = 12


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    Attributes:
        count: how many films at most.
        genre: of which genre, in any case; empty: of any.
        unwatched: only films that the person has not watched.
    """

    count: int
    genre: str = ""
    unwatched: bool = True


def advise(serving: Serving, person: Person, wish: Wish) -> dict[str, Any]:
    """The reply's items, what they are based on, and how they were found."""
    if serving.served is None:
        return {
            "items": _popular(serving, person, wish),
            "based_on": {"ratings": len(person.rated), "fresh_ratings": len(person.rated)},
            "strategy": "popular",
        }
    return _personal(serving, serving.served, person, wish)


def entity_tag(serving: Serving, person: Person, wish: Wish) -> str:
    """Equal for replies that recommend the same for the same reasons; for the header ``ETag``."""
    served = serving.served
    parts = (
        served and (served.champion.version, served.champion.digest, serving.source),
        None if served else _popular_state(serving, person, wish),
        serving.films.version,
        person.user_id,
        wish,
    )
    hashed = hashlib.blake2b(repr(parts).encode(), digest_size=_TAG_BYTES)
    hashed.update(person.state)
    return hashed.hexdigest()


def _popular_state(serving: Serving, person: Person, wish: Wish) -> object:
    """What a reply of popular films depends on: their head, or of a genre's films perhaps the whole list."""
    return serving.popular_state if wish.genre else serving.popular[: wish.count + len(person.watched)]


def _personal(serving: Serving, served: Served, person: Person, wish: Wish) -> dict[str, Any]:
    model = served.model
    profile = model.profile_of(person.user_id, *_ratings(serving, person))
    given = votes(model, profile)
    best = rank(
        model,
        profile,
        wish.count,
        exclude=person.watched if wish.unwatched else (),
        among=_among(serving, wish.genre, len(model.item_ids)),
        rated=not wish.unwatched,
        given=given,
    )
    stars = predict_stars(model, fold_in(model, profile), best.item_ids)
    reasons = because(model, profile, best.item_ids, given)
    old = int(np.count_nonzero(~profile.fresh))
    items = [
        _item(serving, *one)
        for one in zip(best.item_ids.tolist(), best.scores.tolist(), stars.tolist(), reasons, strict=True)
    ]
    if len(items) < wish.count:
        items += _unranked(serving, person, wish, wish.count - len(items))
    return {
        "items": items,
        "based_on": {"ratings": len(person.rated), "fresh_ratings": len(person.rated) - old},
        "strategy": "personal" if len(profile.items) else "popular",
    }


def _ratings(serving: Serving, person: Person) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The person's ratings, but for films of which the model knows another under the same id."""
    if serving.replaced is None:
        return person.rated, person.stars
    kept = ~np.isin(person.rated, serving.replaced)
    return person.rated[kept], person.stars[kept]


def _among(serving: Serving, genre: str, count: int) -> NDArray[np.bool_] | None:
    """The model's films to choose from; None: all."""
    if not genre:
        return serving.present
    found = (serving.genres or {}).get(genre_key(genre))
    return np.zeros(count, np.bool_) if found is None else found


def _popular(serving: Serving, person: Person, wish: Wish) -> list[dict[str, Any]]:
    chosen = _chosen(serving, person, wish)
    fitting = ((movie_id, score) for movie_id, score in serving.popular if chosen(movie_id))
    return [_item(serving, *one, None, None) for one in islice(fitting, wish.count)]


def _unranked(serving: Serving, person: Person, wish: Wish, count: int) -> list[dict[str, Any]]:
    """Films that the model says nothing about, the newest first: without stars, score and reason."""
    fitting = filter(_chosen(serving, person, wish), serving.rest)
    return [_item(serving, movie_id, None, None, None) for movie_id in islice(fitting, count)]


def _chosen(serving: Serving, person: Person, wish: Wish) -> Callable[[int], bool]:
    """Whether a film is in the catalogue, of the genre that is asked for, and not hidden."""
    hidden: Collection[int] = set(person.watched.tolist()) if wish.unwatched else ()
    genre = genre_key(wish.genre)

    def chosen(movie_id: int) -> bool:
        film = serving.films.by_id.get(movie_id)
        if film is None or movie_id in hidden:
            return False
        return not wish.genre or genre in map(genre_key, film["genres"])

    return chosen


def _item(
    serving: Serving, movie_id: int, score: float | None, stars: float | None, reason: int | None
) -> dict[str, Any]:
    film = serving.films.by_id[movie_id]
    spoke = serving.films.by_id.get(reason) if reason is not None else None
    return {
        **film,
        "stars": None if stars is None else round(stars, _STARS_DIGITS),
        "score": None if score is None else round(score, _SCORE_DIGITS),
        "because": spoke and {"movie_id": reason, "title": spoke["title"]},
    }
