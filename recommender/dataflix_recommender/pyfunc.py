"""How MLflow loads a model: its ``loader_module``. Needs neither MLflow nor pandas itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dataflix_recommender.foldin import fold_in, predict_stars
from dataflix_recommender.model import Model
from dataflix_recommender.storage import MODEL_FILE, load


class StarsPredictor:
    """Predicts the stars of pairs of a user and a film."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002 - MLflow's
        """Stars for each row.

        Args:
            model_input: a pandas table of ``user_id`` and ``movie_id``; either may be unknown.
            params: there are none.
        """
        users = np.asarray(model_input["user_id"])
        movies = np.asarray(model_input["movie_id"])
        stars = np.empty(len(users))
        for user in np.unique(users):
            mine = users == user
            taste = fold_in(self.model, self.model.profile(int(user)))
            stars[mine] = predict_stars(self.model, taste, movies[mine])
        return stars


def _load_pyfunc(path: str) -> StarsPredictor:
    """MLflow's entry: ``path`` is the folder or file that was logged as the model's data."""
    data = Path(path)
    return StarsPredictor(load(data / MODEL_FILE if data.is_dir() else data))
