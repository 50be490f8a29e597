"""Make a reply's recommendations from the model, the catalogue and a user's films. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflix_backend.movies import genre_key
from dataflix_backend.recommendations.served_model import Served, Serving
from dataflix_backend.recommendations.user_films import UserFilms
from dataflix_recommender import (
    candidates,
    diversify,
    fold_in,
    predict_stars,
    rank,
    reasons,
    stars_deviation,
    votes,
)

#: The last of every so many places is for a film that nobody has rated, if films of its kind suit the user.
NEW_EVERY = 10
_STARS_DIGITS, _SCORE_DIGITS = 2, 6
_TAG_BYTES = 12


@dataclass(frozen=True, slots=True)
class Query:
    """What a request for recommendations asks for.

    Attributes:
        count: how many films at most.
        genre: only films of this genre, in upper or lower case; empty: of any genre.
        unwatched: only films that the user has not watched.
        exclude: ids of films to leave out, rising.
        diversity: how much weight differences between the films have, from 0 to 1.
    """

    count: int
    genre: str = ""
    unwatched: bool = True
    exclude: tuple[int, ...] = ()
    diversity: float = 0.0


def make_reply(serving: Serving, user: UserFilms, query: Query) -> dict[str, Any]:
    """Make the reply without user and model: its items, what they are based on, and the strategy."""
    if serving.served is None:
        return {
            "items": _popular(serving, user, query),
            "based_on": {"ratings": len(user.rated), "fresh_ratings": len(user.rated)},
            "strategy": "popular",
        }
    return _personal(serving, serving.served, user, query)


def entity_tag(serving: Serving, user: UserFilms, query: Query) -> str:
    """The header ``ETag`` of a reply: a digest of everything that its recommendations depend on."""
    served = serving.served
    parts = (
        served and (served.champion.version, served.champion.digest, serving.source),
        None if served else _popular_state(serving, user, query),
        serving.films.version,
        user.user_id,
        query,
    )
    hashed = hashlib.blake2b(repr(parts).encode(), digest_size=_TAG_BYTES)
    hashed.update(user.state)
    return hashed.hexdigest()


def _popular_state(serving: Serving, user: UserFilms, query: Query) -> object:
    """The part of the popular films on which a reply depends: with a genre, perhaps the whole list."""
    hidden = len(user.watched) + len(user.dismissed) + len(query.exclude)
    return serving.popular_state if query.genre else serving.popular[: query.count + hidden]


def _personal(serving: Serving, served: Served, user: UserFilms, query: Query) -> dict[str, Any]:
    model = served.model
    profile = model.profile_from_ratings(user.user_id, *_ratings(serving, user))
    given = votes(model, profile)
    best = rank(
        model,
        profile,
        candidates(query.count, query.diversity),
        exclude=_hidden(user, query),
        among=_among(serving, query.genre, len(model.item_ids)),
        rated=not query.unwatched,
        given=given,
        new_every=NEW_EVERY,
    )
    best = diversify(model, best, query.count, query.diversity)
    taste = fold_in(model, profile)
    stars = predict_stars(model, taste, best.item_ids).tolist()
    deviations = stars_deviation(model, taste, best.item_ids)
    apart = [None] * len(stars) if deviations is None else deviations.tolist()
    why = reasons(model, profile, best.item_ids, given)
    new = (model.rating_counts[model.items(best.item_ids)] == 0).tolist()
    old = int(np.count_nonzero(~profile.fresh))
    items = [
        _item(serving, *one)
        for one in zip(best.item_ids.tolist(), best.scores.tolist(), stars, apart, new, why, strict=True)
    ]
    if len(items) < query.count:
        items += _unranked(serving, user, query, query.count - len(items))
    return {
        "items": items,
        "based_on": {"ratings": len(user.rated), "fresh_ratings": len(user.rated) - old},
        "strategy": "personal" if len(profile.items) else "popular",
    }


def _hidden(user: UserFilms, query: Query) -> NDArray[np.int64]:
    """Ids of the films to leave out."""
    watched = user.watched if query.unwatched else user.watched[:0]
    return np.concatenate((watched, user.dismissed, np.array(query.exclude, np.int64)))


def _ratings(serving: Serving, user: UserFilms) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The user's ratings, except of films whose id belonged to another film when the model was trained."""
    if serving.replaced is None:
        return user.rated, user.stars
    kept = ~np.isin(user.rated, serving.replaced)
    return user.rated[kept], user.stars[kept]


def _among(serving: Serving, genre: str, count: int) -> NDArray[np.bool_] | None:
    """The model's films to choose from; None: all."""
    if not genre:
        return serving.present
    found = (serving.genres or {}).get(genre_key(genre))
    return np.zeros(count, np.bool_) if found is None else found


def _popular(serving: Serving, user: UserFilms, query: Query) -> list[dict[str, Any]]:
    chosen = _chosen(serving, user, query)
    fitting = ((movie_id, score) for movie_id, score in serving.popular if chosen(movie_id))
    return [_item(serving, *one, None, None, new=False) for one in islice(fitting, query.count)]


def _unranked(serving: Serving, user: UserFilms, query: Query, count: int) -> list[dict[str, Any]]:
    """Films that the model does not know, the newest first: without stars, score and reasons."""
    fitting = filter(_chosen(serving, user, query), serving.rest)
    return [_item(serving, movie_id, None, None, None, new=True) for movie_id in islice(fitting, count)]


def _chosen(serving: Serving, user: UserFilms, query: Query) -> Callable[[int], bool]:
    """A function that says whether a film is in the catalogue, of the requested genre, and not hidden."""
    hidden = set(_hidden(user, query).tolist())
    genre = genre_key(query.genre)

    def chosen(movie_id: int) -> bool:
        film = serving.films.by_id.get(movie_id)
        if film is None or movie_id in hidden:
            return False
        return not query.genre or genre in map(genre_key, film["genres"])

    return chosen


def _item(  # noqa: PLR0913, PLR0917 - the item's parts, in its order
    serving: Serving,
    movie_id: int,
    score: float | None,
    stars: float | None,
    deviation: float | None,
    new: bool,
    why: Sequence[int] = (),
) -> dict[str, Any]:
    film = serving.films.by_id[movie_id]
    spoke = [
        {"movie_id": reason, "title": serving.films.by_id[reason]["title"]}
        for reason in why
        if reason in serving.films.by_id
    ]
    return {
        **film,
        "stars": None if stars is None else round(stars, _STARS_DIGITS),
        "stars_deviation": None if deviation is None else round(deviation, _STARS_DIGITS),
        "score": None if score is None else round(score, _SCORE_DIGITS),
        "because": spoke[0] if spoke else None,
        "reasons": spoke,
        "new": new,
    }
