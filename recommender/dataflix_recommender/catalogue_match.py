"""Whether a model belongs to a catalogue, and which of its films are still those that it has learnt about.

An id alone does not say which film it stands for: another data set uses the same numbers for other films,
and a row may be overwritten with another film. So a model keeps a digest of each film's title and its year.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataflix_recommender.model import IntArray, Model

#: A model belongs to a catalogue in which at least this share of its films has the titles that it was
#: trained with. After corrections the share is far above this; in a data set that reuses the ids, far below.
LEAST_SHARE_OF_TITLES = 0.5
#: What stands for the digest of an unknown title, and for an unknown year.
NO_TITLE, NO_YEAR = 0, 0

_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class CatalogueMatch:
    """How a model and a catalogue fit together.

    Attributes:
        belongs: whether the model may be served for the catalogue.
        present: (I,) which of the model's films the catalogue has.
        same: (I,) which of these are still the film that the model has learnt about.
        share: the share of the present films whose titles are unchanged.
    """

    belongs: bool
    present: NDArray[np.bool_]
    same: NDArray[np.bool_]
    share: float


def title_digest(title: str) -> int:
    """64 bits that tell titles apart; case, spaces and punctuation do not count."""
    folded = unicodedata.normalize("NFKC", title).casefold()
    letters = "".join(filter(str.isalnum, folded)) or folded
    digest = hashlib.blake2b(letters.encode(), digest_size=_DIGEST_BYTES).digest()
    return int.from_bytes(digest, "big", signed=True) or 1


def identities(films: Iterable[tuple[str, int | None] | None]) -> tuple[IntArray, IntArray]:
    """Digests of titles, and years: two arrays, int64 and int16, for films or gaps (None) in any order."""
    pairs = [
        (NO_TITLE, NO_YEAR) if film is None else (title_digest(film[0]), film[1] or NO_YEAR) for film in films
    ]
    titles, years = zip(*pairs, strict=True) if pairs else ((), ())
    return np.asarray(titles, np.int64), np.asarray(years, np.int16)


def match_catalogue(model: Model, titles: IntArray, years: IntArray) -> CatalogueMatch:
    """Compare a model's films with those that a catalogue has under the same ids.

    A film counts as another one when both its title and its year have changed: correcting or translating a
    title does not change the year, and correcting a year does not change the title. A model that was made
    before titles were kept is taken to belong to every catalogue.

    Args:
        model: the model.
        titles: (I,) digests of the titles that the catalogue has; :data:`NO_TITLE` where it has no such film.
        years: (I,) as ``titles``; :data:`NO_YEAR` where the year is not known.
    """
    present = titles != NO_TITLE
    if model.item_titles is None or model.item_years is None:
        return CatalogueMatch(True, present, present, 1.0)
    known = present & (model.item_titles != NO_TITLE)
    unchanged = known & (titles == model.item_titles)
    same_year = (years == model.item_years) & (years != NO_YEAR)
    judged = int(known.sum())
    share = float(unchanged.sum() / judged) if judged else 0.0
    return CatalogueMatch(
        share >= LEAST_SHARE_OF_TITLES, present, present & (~known | unchanged | same_year), share
    )
