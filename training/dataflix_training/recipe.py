"""How a model is made: everything that, with the data, decides its arrays."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

#: What predicts stars.
SVD_STARS, VBMF_STARS = "svd", "vbmf"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyperparameters; the defaults of the SVD's are Surprise's.

    Attributes:
        factors: of the SVD.
        epochs: of the SVD.
        learning_rate: of all parameters of the SVD.
        penalty: regularisation of all parameters of the SVD.
        stars: what predicts them, :data:`VBMF_STARS` or :data:`SVD_STARS`.
        vbmf_factors: of VB-MF.
        vbmf_epochs: its sweeps.
        ranker_penalty: regularisation of the ranker (EASE's lambda).
        ranker_self: how much of itself a film may explain (RLAE's xi); more lifts films that few have rated.
        watched: what a rating at someone's own mean says in favour of similar films, in stars.
        ranker_fewest: a film with fewer ratings is not ranked but by popularity.
        ranker_most: the ranker learns this many films at most, the most rated ones: its cost is cubic.
        ranker_row: how many weights of each film are kept.
        seed: of the SVD's first factors.
    """

    factors: int = 100
    epochs: int = 20
    learning_rate: float = 0.005
    penalty: float = 0.02
    stars: str = SVD_STARS
    vbmf_factors: int = 12
    vbmf_epochs: int = 20
    ranker_penalty: float = 200.0
    ranker_self: float = 0.2
    watched: float = 0.5
    ranker_fewest: int = 5
    ranker_most: int = 5000
    ranker_row: int = 200
    seed: int = 0

    def to_json(self) -> str:
        """As text, for a tag."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """From text.

        Raises:
            ValueError: it is no recipe that this program knows.
        """
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"not a recipe: {error}") from error
