"""What one process serves at one moment: a model and the catalogue, and no mixture of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dataflix_backend.recommendations.champion import Champion
from dataflix_backend.recommendations.films import Films
from dataflix_recommender import Model

#: Two kilobytes each.
MOST_REPLIES = 1000

Source = Literal["registry", "disk"]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Served:
    """A model that this process has mapped."""

    champion: Champion
    model: Model


@dataclass(frozen=True, slots=True, eq=False)
class Serving:
    """What replies are made of: never changed, replaced as a whole.

    Attributes:
        films: the catalogue.
        served: the model; None: there never was one.
        source: whether the registry names this model now, or the disk only has it.
        present: (I,) which of the model's films the catalogue has; None: all.
        genres: (I,) for each genre, which of the model's films are of it.
        popular: ids and scores, best first; for when there is no model.
        replies: made from this, by their entity tags, which stand for all that they depend on; whoever
            asks again meanwhile gets the same without computation.
    """

    films: Films
    served: Served | None = None
    source: Source = "disk"
    present: NDArray[np.bool_] | None = None
    genres: Mapping[str, NDArray[np.bool_]] | None = None
    popular: Sequence[tuple[int, float]] = ()
    replies: dict[str, bytes] = field(default_factory=dict)

    def remember(self, tag: str, reply: bytes) -> None:
        """Keep a reply, and not more than :data:`MOST_REPLIES`: then all are forgotten."""
        if len(self.replies) >= MOST_REPLIES:
            self.replies.clear()
        self.replies[tag] = reply


def combine(films: Films, served: Served, source: Source) -> Serving:
    """Put a model and the catalogue together."""
    item_ids = served.model.item_ids.tolist()
    present = np.asarray([item in films.by_id for item in item_ids], np.bool_)
    places: dict[str, list[int]] = {}
    for place, item in enumerate(item_ids):
        for genre in films.by_id[item]["genres"] if present[place] else ():
            places.setdefault(genre, []).append(place)
    genres = {genre: np.zeros(len(item_ids), np.bool_) for genre in places}
    for genre, of_it in places.items():
        genres[genre][of_it] = True
    return Serving(films, served, source, None if present.all() else present, genres)
