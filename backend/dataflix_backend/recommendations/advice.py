"""A reply's recommendations from what is served and someone's films. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflix_backend.recommendations.people import Person
from dataflix_backend.recommendations.serving import Served, Serving
from dataflix_recommender import because, fold_in, predict_stars, rank, votes

_STARS_DIGITS, _SCORE_DIGITS = 2, 6
_TAG_BYTES = 12


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    Attributes:
        count: how many films at most.
        genre: of which genre; empty: of any.
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
        None if served else serving.popular[: wish.count + len(person.watched)],
        serving.films.version,
        person.user_id,
        wish,
    )
    hashed = hashlib.blake2b(repr(parts).encode(), digest_size=_TAG_BYTES)
    hashed.update(person.state)
    return hashed.hexdigest()


def _personal(serving: Serving, served: Served, person: Person, wish: Wish) -> dict[str, Any]:
    model = served.model
    profile = model.profile_of(person.user_id, person.rated, person.stars)
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
    return {
        "items": [
            _item(serving, *one)
            for one in zip(best.item_ids.tolist(), best.scores.tolist(), stars.tolist(), reasons, strict=True)
        ],
        "based_on": {"ratings": len(person.rated), "fresh_ratings": len(person.rated) - old},
        "strategy": "personal" if len(profile.items) else "popular",
    }


def _among(serving: Serving, genre: str, count: int) -> NDArray[np.bool_] | None:
    """The model's films to choose from; None: all."""
    if not genre:
        return serving.present
    found = (serving.genres or {}).get(genre)
    return np.zeros(count, np.bool_) if found is None else found


def _popular(serving: Serving, person: Person, wish: Wish) -> list[dict[str, Any]]:
    hidden: Collection[int] = set(person.watched.tolist()) if wish.unwatched else ()
    items: list[dict[str, Any]] = []
    for movie_id, score in serving.popular:
        if len(items) == wish.count:
            break
        film = serving.films.by_id.get(movie_id)
        if film and movie_id not in hidden and (not wish.genre or wish.genre in film["genres"]):
            items.append(_item(serving, movie_id, score, None, None))
    return items


def _item(
    serving: Serving, movie_id: int, score: float, stars: float | None, reason: int | None
) -> dict[str, Any]:
    film = serving.films.by_id[movie_id]
    spoke = serving.films.by_id.get(reason) if reason is not None else None
    return {
        **film,
        "stars": None if stars is None else round(stars, _STARS_DIGITS),
        "score": round(score, _SCORE_DIGITS),
        "because": spoke and {"movie_id": reason, "title": spoke["title"]},
    }
