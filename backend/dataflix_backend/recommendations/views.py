"""The paths of recommendations, of similar films and of the model in service, and their schemas."""

from __future__ import annotations

import time
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from apiflask import APIBlueprint
from apiflask.exceptions import HTTPError
from flask import Response, request
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import TupleRow
from pydantic import Field

from dataflix_backend.movies import no_movie, read_movies
from dataflix_backend.recommendations.catalogue import read_gone
from dataflix_backend.recommendations.model_cache import about, current_serving, model_cache
from dataflix_backend.recommendations.recommend import Query, entity_tag, make_reply
from dataflix_backend.recommendations.served_model import CachedReply, Serving
from dataflix_backend.recommendations.user_films import UserFilms, read_user_films
from dataflix_backend.request_handling import context
from dataflix_backend.schemas import MOST_ITEMS, Genre, Id, Movie, QueryString, Reply
from dataflix_backend.users import no_user
from dataflix_backend.validation import IDS
from dataflix_contract.schema import LEAST_ID, MOST_ID
from dataflix_recommender import Model, similar

recommendations = APIBlueprint("recommendations", __name__)

_JSON = "application/json"
#: A client may keep a reply, but must ask again each time. It then sends the reply's tag, and gets a short
#: 304 if nothing has changed.
_CACHE = "private, no-cache"


class Wanted(QueryString):
    """Which recommendations."""

    n: Annotated[int, Field(ge=1, le=MOST_ITEMS, description="The most films that the reply has.")] = 10
    genre: Annotated[
        Genre | None,
        Field(description="Only films of this genre, in upper or lower case.", examples=["Drama"]),
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
    diversity: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="How much it counts that films are unlike each other (maximal marginal relevance),"
            " beside how well each one fits. Popular films, without a model, stay as they are.",
            examples=[0.3],
        ),
    ] = 0.0


class WantedSimilar(QueryString):
    """Which similar films."""

    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS, description="The most films that the reply has.")] = 10
    user_id: Annotated[Id | None, Field(description="Leave out what this user watched or dismissed.")] = None


class ModelAbout(Reply):
    """The model that a reply was made from."""

    version: Annotated[int, Field(description="The model's version in MLflow's registry.")]
    trained_at: datetime
    age_seconds: Annotated[int, Field(ge=0)]
    source: Annotated[
        Literal["registry", "disk"],
        Field(description="`disk`: the last good one, while the registry does not answer or names another."),
    ]
    run_id: Annotated[str, Field(description="The MLflow run that made the model.")]


class ModelShown(ModelAbout):
    """The model that is served, and how good it was in its training's test."""

    metrics: dict[str, float]


class Reason(Reply):
    """A film rated by the user that speaks for a recommended one."""

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
        Field(
            description="The stars that the user would give; null for a film that the model does not know."
        ),
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
            description="How well the film fits, within this reply: without `diversity`, the films that"
            " somebody has rated are in its order; null for those that the model does not know, which follow"
            " its own, the newest first."
        ),
    ]
    because: Annotated[Reason | None, Field(description="The first of the reasons.")]
    reasons: Annotated[
        list[Reason],
        Field(
            max_length=2,
            description="The films rated by the user that speak most for this one, the strongest first:"
            " a second one where it speaks at least half as much.",
        ),
    ]
    new: Annotated[
        bool,
        Field(
            description="Nobody had rated the film when the model was trained: it is recommended for its"
            " genres and year, one of ten at most where there are enough other films. False without a model."
        ),
    ]


class BasedOn(Reply):
    """The ratings that a reply rests on."""

    ratings: Annotated[int, Field(ge=0, description="How many ratings the user has now.")]
    fresh_ratings: Annotated[int, Field(ge=0, description="How many of them the model was not trained with.")]


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

    score: Annotated[
        float,
        Field(description="How strongly somebody who likes the given film can be expected to like this one."),
    ]


class SimilarMovies(Reply):
    """Films like another one, the most alike first."""

    items: list[Similar]
    model: ModelAbout | None


@recommendations.get("/recommendations/<id:user_id>")
@recommendations.input(Wanted, location="query", arg_name="wanted")
@recommendations.output(Recommendations)
@recommendations.doc(
    responses={304: "Nothing has changed since the reply with this tag.", 404: "There is no user of this id."}
)
def recommend(user_id: int, wanted: Wanted) -> Response:
    """Recommend films to a user, without those that they have dismissed.

    The order is from everybody's ratings and from the user's own as they are now: a rating is reflected
    in the next reply.
    """
    serving = current_serving()
    query = Query(
        wanted.n, wanted.genre or "", wanted.exclude_watched, _ids(wanted.exclude), wanted.diversity
    )
    expected = serving.replies.get((user_id, query))
    with context().pool.connection() as connection:
        found = read_user_films(connection, user_id, expected.movie_ids if expected else ())
        if found is None:
            raise no_user()
        user, gone = found
        reply = _reply(serving, user, query)
        if reply is not expected:
            gone = read_gone(connection, reply.movie_ids)
        while gone:  # deleted since the catalogue was read
            serving = serving.without(gone)
            reply = _reply(serving, user, query)
            gone = read_gone(connection, reply.movie_ids)
    headers = {"ETag": f'W/"{reply.tag}"', "Cache-Control": _CACHE}
    if request.if_none_match.contains_weak(reply.tag):
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    # added last, since the model's age changes and the kept body must not have it
    body = b'%s,"model":%s}' % (reply.body[:-1], orjson.dumps(about(serving)))
    return Response(body, headers=headers, content_type=_JSON)


@recommendations.get("/movies/<id:movie_id>/similar")
@recommendations.input(WantedSimilar, location="query", arg_name="wanted")
@recommendations.output(SimilarMovies)
@recommendations.doc(responses={404: "There is no film, or no user, of this id."})
def alike(movie_id: int, wanted: WantedSimilar) -> Response:
    """List films like another one."""
    serving = current_serving()
    scores: dict[int, float] = {}
    with context().pool.connection() as connection:
        hidden = _hidden(connection, wanted.user_id)
        if serving.served is not None:
            scores = _scores_alike(serving, serving.served.model, movie_id, wanted.limit, hidden)
        movies = read_movies(connection, [movie_id, *scores])
    if movie_id not in movies:  # PostgreSQL knows a new film before this process does
        raise no_movie()
    items = [
        {**movies[one].model_dump(mode="json"), "score": score}
        for one, score in scores.items()
        if one in movies
    ]
    return _json({"items": items, "model": about(serving)})


@recommendations.get("/model")
@recommendations.output(ModelShown)
@recommendations.doc(responses={404: "There is no model yet."})
def model() -> Response:
    """Show the model that is served."""
    serving = current_serving()
    found = _shown(serving)
    if found is None:
        raise HTTPError(
            HTTPStatus.NOT_FOUND,
            serving.unfit.text
            if serving.unfit
            else "there is no model yet: the daily batch trains one (the DAG elt_pipeline, or"
            " dataflix-train)",
        )
    return _json(found)


def served_model() -> ModelShown | None:
    """The model that this process serves, if there is one."""
    cache = model_cache()
    found = _shown(cache.current) if cache and cache.current else None
    return None if found is None else ModelShown.model_validate(found)


def _shown(serving: Serving) -> dict[str, Any] | None:
    if serving.served is None:
        return None
    return {**(about(serving) or {}), "metrics": serving.served.champion.metrics}


def _ids(listed: str) -> tuple[int, ...]:
    """The ids in a list with commas, rising. Numbers that cannot be ids are left out."""
    numbers = {int(one) for one in listed.split(",") if one}
    return tuple(sorted(one for one in numbers if LEAST_ID <= one <= MOST_ID))


def _hidden(connection: Connection[TupleRow], user_id: int | None) -> NDArray[np.int64]:
    """Ids of the films that a user has watched or dismissed; none without a user."""
    if user_id is None:
        return np.empty(0, np.int64)
    found = read_user_films(connection, user_id)
    if found is None:
        raise no_user()
    return np.concatenate((found[0].watched, found[0].dismissed))


def _scores_alike(
    serving: Serving, model: Model, movie_id: int, count: int, hidden: NDArray[np.int64]
) -> dict[int, float]:
    """Scores of the films that are similar to a film and may be shown, by id, best first."""
    found = similar(model, movie_id, len(model.item_ids))
    kept = ~np.isin(found.item_ids, hidden)
    if serving.present is not None:
        kept &= serving.present[model.items(found.item_ids)] & serving.present[model.items([movie_id])]
    fitting = zip(found.item_ids[kept].tolist(), found.scores[kept].tolist(), strict=True)
    return dict(islice(fitting, count))


def _reply(serving: Serving, user: UserFilms, query: Query) -> CachedReply:
    """The reply: the kept one if it is still valid, otherwise a new one."""
    request = (user.user_id, query)
    tag = entity_tag(serving, user, query)
    kept = serving.replies.get(request)
    if kept is None or kept.tag != tag:
        kept = _computed(serving, user, query, tag)
        serving.remember(request, kept)
    return kept


def _computed(serving: Serving, user: UserFilms, query: Query, tag: str) -> CachedReply:
    """Make a reply. Its JSON is not written by the schema, which would check every field again."""
    started = time.perf_counter()
    found = make_reply(serving, user, query)
    shown = {one["movie_id"] for one in found["items"]}
    reasons = {reason["movie_id"] for one in found["items"] for reason in one["reasons"]}
    body = orjson.dumps({"user_id": user.user_id, **found})
    cache = model_cache()
    if cache is not None:
        cache.metrics.seconds.observe(time.perf_counter() - started)
    return CachedReply(tag, body, sorted(shown | reasons))


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), content_type=_JSON)
