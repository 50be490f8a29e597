"""Requests and replies of the recommendations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from dataflix_backend.schemas import MOST_ITEMS, Genre, Id, Movie, Query, Reply
from dataflix_backend.validation import IDS


class Wanted(Query):
    """Which recommendations."""

    n: Annotated[int, Field(ge=1, le=MOST_ITEMS, description="How many at most.")] = 10
    genre: Annotated[
        Genre | None, Field(description="Only of this genre, in any case.", examples=["Drama"])
    ] = None
    exclude_watched: Annotated[bool, Field(description="Leave out what the user has watched.")] = True
    exclude: Annotated[
        str,
        Field(
            pattern=IDS,
            description="Leave out these films: ids with commas between them, 100 at most.",
            examples=["1,2"],
        ),
    ] = ""


class WantedSimilar(Query):
    """Which similar films."""

    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS, description="How many at most.")] = 10
    user_id: Annotated[Id | None, Field(description="Leave out what this user has watched.")] = None


class ModelAbout(Reply):
    """The model that a reply was made from."""

    version: Annotated[int, Field(description="Its number in MLflow's registry.")]
    trained_at: datetime
    age_seconds: Annotated[int, Field(ge=0)]
    source: Annotated[
        Literal["registry", "disk"],
        Field(description="`disk`: the last good one, while the registry does not answer or names another."),
    ]
    run_id: Annotated[str, Field(description="The MLflow run that made it.")]


class ModelShown(ModelAbout):
    """The model that is served, and how good it was in its training's test."""

    metrics: dict[str, float]


class Reason(Reply):
    """The film rated by the user that speaks most for a recommended one."""

    movie_id: Id
    title: str


class Recommendation(Reply):
    """A recommended film."""

    movie_id: Id
    title: str
    release_year: int | None
    genres: list[str]
    stars: Annotated[
        float | None,
        Field(description="What the user would give; null for a film that no model knows."),
    ]
    stars_deviation: Annotated[
        float | None,
        Field(
            description="Standard deviation of the stars: about 68 % of ratings lie within one. Null where"
            " there are no stars, and where the model does not say."
        ),
    ]
    score: Annotated[
        float | None,
        Field(
            description="What the films are ordered by, within this reply; null for those that the model does"
            " not know, which follow its own, the newest first."
        ),
    ]
    because: Reason | None
    new: Annotated[
        bool,
        Field(
            description="Nobody had rated the film when the model was trained: it is recommended for its"
            " genres and year, one of ten at most where there are enough other films. False without a model."
        ),
    ]


class BasedOn(Reply):
    """The ratings that a reply rests on."""

    ratings: Annotated[int, Field(ge=0, description="The user's ratings now.")]
    fresh_ratings: Annotated[int, Field(ge=0, description="Those that the model was not trained with.")]


class Recommendations(Reply):
    """What to watch next."""

    user_id: Id
    items: list[Recommendation]
    based_on: BasedOn
    strategy: Annotated[
        Literal["personal", "popular"],
        Field(
            description="`popular`: the user has rated no film that the model knows, or there is no model of"
            " this catalogue."
        ),
    ]
    model: ModelAbout | None


class Similar(Movie):
    """A film like another one."""

    score: Annotated[float, Field(description="How much a liking of the other speaks for this one.")]


class SimilarMovies(Reply):
    """Films like another one, the most alike first."""

    items: list[Similar]
    model: ModelAbout | None
