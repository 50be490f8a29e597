"""Draw the pictures of a training for people, as PNG files."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dataflix_training.experiment import Experiment
from dataflix_training.scores import Group
from dataflix_training.tuning import Curve

_TOP = 20


def top_movies(experiment: Experiment) -> list[int]:
    """Ids of the films at the head of the popularity list."""
    best = np.argsort(-experiment.model.popularity, kind="stable")[:_TOP]
    return [int(movie) for movie in experiment.model.item_ids[best]]


def draw(experiment: Experiment, titles: Mapping[int, str], folder: Path) -> None:
    """Draw everything into a folder.

    Args:
        experiment: what came of the training.
        titles: of the films in :func:`top_movies`; a film without one is called by its id.
        folder: must exist.
    """
    _learning_curve(experiment.tuning.curves).savefig(folder / "learning_curve.png")
    _error_by_count(experiment.groups.popularity).savefig(folder / "error_by_rating_count.png")
    _top_movies(experiment, titles).savefig(folder / "top_movies.png")


def _figure(title: str, size: tuple[float, float] = (8, 5)) -> Figure:
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    figure.suptitle(title)
    return figure


def _learning_curve(curves: list[Curve]) -> Figure:
    figure = _figure("RMSE after each epoch, on the tuning split")
    axes = figure.subplots()
    for number, curve in enumerate(curves):
        recipe = curve.recipe
        epochs = range(1, len(curve.validation) + 1)
        label = f"{recipe.factors} factors, rate {recipe.learning_rate:g}, penalty {recipe.penalty:g}"
        chosen = " (chosen)" if number == 0 else ""
        (line,) = axes.plot(epochs, curve.validation, label=label + chosen, linewidth=1 if number else 2.5)
        if number == 0:
            axes.plot(epochs, curve.training, color=line.get_color(), linestyle=":", label="same, training")
    axes.set_xlabel("epoch")
    axes.set_ylabel("RMSE, stars")
    axes.legend()
    return figure


def _error_by_count(groups: Sequence[Group]) -> Figure:
    figure = _figure("Error by how often a film had been rated")
    axes = figure.subplots()
    names = [f"{one.least}+" if one.least else "never" for one in groups]
    bars = axes.bar(names, [one.rmse.value for one in groups if one.rmse])
    axes.bar_label(bars, [f"n={one.ratings:,}" for one in groups], fontsize=7)
    axes.set_xlabel("ratings of the film before the test")
    axes.set_ylabel("RMSE of held-out stars")
    return figure


def _top_movies(experiment: Experiment, titles: Mapping[int, str]) -> Figure:
    figure = _figure("The popularity list: what newcomers see", (8, 7))
    axes = figure.subplots()
    movies = top_movies(experiment)
    model = experiment.model
    names = [textwrap.shorten(titles.get(movie, f"film {movie}"), 40, placeholder=" …") for movie in movies]
    places = model.items(movies)
    bars = axes.barh(range(len(movies)), model.popularity[places])
    axes.bar_label(bars, [f"{count:,} ratings" for count in model.rating_counts[places]], fontsize=7)
    axes.set_yticks(range(len(movies)), names, parse_math=False)  # "$" in a title begins no formula
    axes.invert_yaxis()
    axes.set_xlabel("Bayesian average, scaled to 0 to 1")
    return figure
