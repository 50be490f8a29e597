"""The recommendation model: save and load it, rank films, predict stars. Training and serving share it.

It needs NumPy only.

A :class:`Model` holds two things. An SVD predicts stars (:func:`predict_stars`). A ranker, a sparse
item-item matrix learnt for ordering, chooses what to show (:func:`rank`); someone who has rated none of
its films gets the popularity list from the same function. Ratings that are newer than the model are taken
into account by :meth:`Model.profile` and :func:`fold_in`, without training again.

Serve with one BLAS thread (``OPENBLAS_NUM_THREADS=1``): the systems are small, and threads that wait for
one another cost more than they bring.

    model = load(Path("model.npz"))
    profile = model.profile(user_id=7, fresh={318: 5.0, 2571: 0.5})
    best = rank(model, profile, count=10)
    stars = predict_stars(model, fold_in(model, profile), best.item_ids)
    why = reasons(model, profile, best.item_ids)
"""

from dataflix_recommender.catalogue_match import (
    NO_TITLE,
    NO_YEAR,
    CatalogueMatch,
    identities,
    match_catalogue,
)
from dataflix_recommender.model import Model, ModelError, Profile, places
from dataflix_recommender.ranking import (
    Ranking,
    Votes,
    candidates,
    damped_means,
    diversify,
    popularity,
    rank,
    reasons,
    scores,
    similar,
    votes,
)
from dataflix_recommender.star_prediction import Taste, fold_in, predict_stars, stars_deviation
from dataflix_recommender.storage import MODEL_FILE, MODEL_PATH, digest, load, load_unpacked, save, unpack

__all__ = [
    "MODEL_FILE",
    "MODEL_PATH",
    "NO_TITLE",
    "NO_YEAR",
    "CatalogueMatch",
    "Model",
    "ModelError",
    "Profile",
    "Ranking",
    "Taste",
    "Votes",
    "candidates",
    "damped_means",
    "digest",
    "diversify",
    "fold_in",
    "identities",
    "load",
    "load_unpacked",
    "match_catalogue",
    "places",
    "popularity",
    "predict_stars",
    "rank",
    "reasons",
    "save",
    "scores",
    "similar",
    "stars_deviation",
    "unpack",
    "votes",
]
