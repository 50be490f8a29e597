"""Save a model to a file and load it: NumPy's ``.npz``, without pickle, with a format number and a checksum.

It is also MLflow's ``loader_module`` for a model, and needs neither MLflow nor pandas for that.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflix_recommender.model import Model, ModelError
from dataflix_recommender.star_prediction import fold_in, predict_stars

#: The model's file, and where MLflow keeps it among the files of a version.
MODEL_FILE = "model.npz"
MODEL_PATH = f"data/{MODEL_FILE}"
#: The newest format. Files of earlier formats are read too; they lack the fields that were added later.
FORMAT = 4
#: The format that introduced each field that a model may lack.
_SINCE = {"item_titles": 2, "item_years": 2, "watched": 3} | dict.fromkeys(
    (
        *("svd_user_bias", "svd_item_bias", "svd_user_factors", "svd_item_factors", "item_variance"),
        *("noise", "calibration"),
    ),
    4,
)
_FORMAT, _DIGEST = "format", "sha256"
_SCALARS: dict[str, type[int | float]] = {
    "global_mean": float,
    "rating_min": float,
    "rating_max": float,
    "max_version": int,
    "noise": float,
    "calibration": float,
    "watched": float,
}


def save(model: Model, path: Path) -> str:
    """Write a model and return its digest; the file appears whole or not at all."""
    checksum = digest(model)
    header = {_FORMAT: np.asarray(_format(model)), _DIGEST: np.asarray(checksum)}
    arrays: dict[str, Any] = header | model.arrays()
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    partial.replace(path)
    return checksum


def load(path: Path) -> Model:
    """Read a model into memory and check it against its digest.

    Raises:
        ModelError: the file is damaged, of another format, or no model.
        FileNotFoundError: there is no such file.
    """
    try:
        # opened here: NumPy leaves a damaged file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is no model: {error}") from error
    return _checked(arrays, path)


def unpack(path: Path, folder: Path) -> None:
    """Check a model's file and lay its arrays out as ``.npy`` files for :func:`load_unpacked`.

    Raises:
        ModelError: as :func:`load`.
    """
    model = load(path)
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in model.arrays().items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def load_unpacked(folder: Path) -> Model:
    """Map a model's arrays into memory from the folder that :func:`unpack` made.

    Processes that map the same folder share one copy, in the page cache. The digest was checked
    when the folder was made. It is not checked again here, because that would read every page.

    Raises:
        ModelError: the folder lacks an array.
    """
    try:
        arrays = {
            # as plain arrays: indexing a memmap makes memmaps, which takes longer
            field.name: np.asarray(np.load(folder / f"{field.name}.npy", mmap_mode="r", allow_pickle=False))
            for field in fields(Model)
            if field.name not in _SINCE or (folder / f"{field.name}.npy").exists()
        }
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} holds no unpacked model: {error}") from error
    return _model(arrays)


def digest(model: Model) -> str:
    """SHA-256 over names, types, shapes and bytes of all arrays: equal models have equal digests."""
    hashed = hashlib.sha256(str(_format(model)).encode())
    for name, array in model.arrays().items():
        hashed.update(f"{name} {array.dtype.str} {array.shape}".encode())
        hashed.update(np.ascontiguousarray(array).data)
    return hashed.hexdigest()


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


def _format(model: Model) -> int:
    return max([since for name, since in _SINCE.items() if getattr(model, name) is not None], default=1)


def _checked(arrays: Mapping[str, NDArray[Any]], path: Path) -> Model:
    found = int(arrays[_FORMAT]) if _FORMAT in arrays else None
    if found is None or not 1 <= found <= FORMAT:
        raise ModelError(f"{path} has the format {found}, this program reads 1 to {FORMAT}: train again")
    missing = sorted({field.name for field in fields(Model)} - arrays.keys() - _SINCE.keys())
    if missing:
        raise ModelError(f"{path} lacks {', '.join(missing)}")
    model = _model(arrays)
    if digest(model) != str(arrays.get(_DIGEST)):
        raise ModelError(f"{path} is damaged: its arrays do not match their digest")
    return model


def _model(arrays: Mapping[str, NDArray[Any]]) -> Model:
    values: dict[str, Any] = {
        field.name: _SCALARS[field.name](arrays[field.name]) if field.name in _SCALARS else arrays[field.name]
        for field in fields(Model)
        if field.name in arrays
    }
    return Model(**values)
