"""The state from which a process serves recommendations: one model with one state of the catalogue."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataflix_backend.movies import genre_key
from dataflix_backend.recommendations.catalogue import Films
from dataflix_backend.recommendations.model_store import Champion
from dataflix_backend.schemas import Refusal
from dataflix_recommender import CatalogueMatch, Model, identities, match_catalogue

#: How many replies are kept; each has about two kilobytes.
MOST_REPLIES = 1000
_STATE_BYTES = 12

Source = Literal["registry", "disk"]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Served:
    """A model that this process has mapped."""

    champion: Champion
    model: Model


class CachedReply(NamedTuple):
    """A finished reply without its part about the model, its entity tag, and ids of all films in it."""

    tag: str
    body: bytes
    movie_ids: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Serving:
    """The model and the catalogue from which replies are made; replaced as a whole when one of them changes.

    Attributes:
        films: the catalogue.
        served: the model; None: there is none, or it belongs to another catalogue.
        source: whether the registry names this model as champion now, or only the disk has it.
        present: (I,) which of the model's films may be shown: the catalogue has them, and they are still the
            films that the model was trained with; None: all.
        genres: (I,) for each genre, by its :func:`genre_key`, which of the model's films have it.
        replaced: ids that belong to another film now than when the model was trained, rising.
        rest: ids of the films that the model does not know, the newest first: they follow the model's own.
        unfit: why the present model is not served; None: it is served, or there is none.
        popular: ids and scores of popular films, best first; used without a model.
        popular_state: a digest of the list of popular films.
        replies: the last reply to each request. If the same request comes again and the entity tag is
            unchanged, the reply is sent again without computation.
    """

    films: Films
    served: Served | None = None
    source: Source = "disk"
    present: NDArray[np.bool_] | None = None
    genres: Mapping[str, NDArray[np.bool_]] | None = None
    replaced: NDArray[np.int64] | None = None
    rest: Sequence[int] = ()
    unfit: Refusal | None = None
    popular: Sequence[tuple[int, float]] = ()
    popular_state: str = ""
    replies: dict[Hashable, CachedReply] = field(default_factory=dict)

    def remember(self, request: Hashable, reply: CachedReply) -> None:
        """Keep a reply. Once there are :data:`MOST_REPLIES`, all earlier ones are dropped."""
        if len(self.replies) >= MOST_REPLIES:
            self.replies.clear()
        self.replies[request] = reply

    def with_popular(self, popular: Sequence[tuple[int, float]]) -> Serving:
        """A copy with another list of popular films."""
        state = hashlib.blake2b(repr(popular).encode(), digest_size=_STATE_BYTES).hexdigest()
        return replace(self, popular=popular, popular_state=state, replies={})

    def without(self, gone: Collection[int]) -> Serving:
        """A copy without films that have been deleted since the catalogue was read."""
        films = Films(
            hash((self.films.version, *sorted(gone))),
            {movie_id: film for movie_id, film in self.films.by_id.items() if movie_id not in gone},
        )
        rest = [movie_id for movie_id in self.rest if movie_id not in gone]
        if self.served is None:
            return replace(self, films=films, rest=rest, replies={})
        there = ~np.isin(self.served.model.item_ids, list(gone))
        present = there if self.present is None else self.present & there
        genres = {genre: of_it & there for genre, of_it in (self.genres or {}).items()}
        return replace(self, films=films, rest=rest, present=present, genres=genres, replies={})


def combine(films: Films, served: Served, source: Source) -> Serving:
    """Combine a model with the catalogue; the model is left out if it belongs to another catalogue."""
    model = served.model
    item_ids = model.item_ids.tolist()
    found = match_catalogue(model, *identities(_identity(films, item) for item in item_ids))
    if not found.belongs:
        return Serving(films, unfit=_unfit(served, found))
    places: dict[str, list[int]] = {}
    for place in np.flatnonzero(found.same).tolist():
        for genre in {genre_key(name) for name in films.by_id[item_ids[place]]["genres"]}:
            places.setdefault(genre, []).append(place)
    genres = {genre: np.zeros(len(item_ids), np.bool_) for genre in places}
    for genre, of_it in places.items():
        genres[genre][of_it] = True
    replaced = model.item_ids[found.present & ~found.same]
    return Serving(
        films,
        served,
        source,
        None if found.same.all() else found.same,
        genres,
        np.asarray(replaced, np.int64) if len(replaced) else None,
        _newest_first(films, films.by_id.keys() - set(model.item_ids[found.same].tolist())),
    )


def _identity(films: Films, movie_id: int) -> tuple[str, int | None] | None:
    film = films.by_id.get(movie_id)
    return None if film is None else (film["title"], film["release_year"])


def _unfit(served: Served, found: CatalogueMatch) -> Refusal:
    present = int(found.present.sum())
    why = (
        "made for another catalogue; popular films are served until the next batch trains a model"
        f" (bin/dataflix-pipeline run). This catalogue has {present} of its {len(found.present)} films,"
        f" and {found.share:.0%} of these with their titles"
    )
    return Refusal(version=served.champion.version, reason="other_catalogue", why=why)


def _newest_first(films: Films, movie_ids: Iterable[int]) -> list[int]:
    return sorted(
        movie_ids,
        key=lambda movie_id: (films.by_id[movie_id]["release_year"] or 0, movie_id),
        reverse=True,
    )
