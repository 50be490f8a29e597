"""The paths: what to watch next, what is like a film, which model says so."""

from __future__ import annotations

import time
from http import HTTPStatus
from itertools import islice
from typing import Any

import numpy as np
import orjson
from apiflask import APIBlueprint, APIFlask
from apiflask.exceptions import HTTPError
from flask import Response, current_app, request
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import TupleRow

from dataflix_backend.context import context
from dataflix_backend.movie_queries import read_movies
from dataflix_backend.movies import no_movie
from dataflix_backend.recommendations.catalogue import read_gone
from dataflix_backend.recommendations.model_cache import ModelCache, Status, about
from dataflix_backend.recommendations.recommend import Query, entity_tag, make_reply
from dataflix_backend.recommendations.schemas import (
    ModelShown,
    Recommendations,
    SimilarMovies,
    Wanted,
    WantedSimilar,
)
from dataflix_backend.recommendations.serving import Made, Serving
from dataflix_backend.recommendations.user_films import UserFilms, read_user_films
from dataflix_backend.users import no_user
from dataflix_contract.schema import LEAST_ID, MOST_ID
from dataflix_recommender import Model, similar

recommendations = APIBlueprint("recommendations", __name__)

_KEY = "dataflix-recommendations"
_JSON = "application/json"
#: A reply may be kept, and must be asked for again each time: with its tag, nothing is computed where this
#: process still has it at hand.
_CACHE = "private, no-cache"


def start(app: APIFlask) -> ModelCache:
    """Begin to keep a model at hand for this application, in the process that serves it."""
    shared = app.extensions["dataflix"]
    cache = ModelCache(shared.settings, shared.pool, shared.settings.service_folder("backend") / "models")
    app.extensions[_KEY] = cache
    cache.start()
    return cache


def status() -> Status:
    """How serving is, for this process."""
    found = _model_cache()
    return found.status() if found else Status(["recommendations are not served here"], [], None)


def served_model() -> ModelShown | None:
    """The model that this process serves, if there is one."""
    cache = _model_cache()
    found = _shown(cache.current) if cache and cache.current else None
    return None if found is None else ModelShown.model_validate(found)


@recommendations.get("/recommendations/<id:user_id>")
@recommendations.input(Wanted, location="query", arg_name="wanted")
@recommendations.output(Recommendations)
@recommendations.doc(
    responses={304: "Nothing has changed since the reply with this tag.", 404: "There is no user of this id."}
)
def recommend(user_id: int, wanted: Wanted) -> Response:
    """Recommend films to a user.

    The order is from everybody's ratings and from the user's own as they are now: a rating is reflected
    in the next reply.
    """
    serving = _serving()
    query = Query(wanted.n, wanted.genre or "", wanted.exclude_watched, _ids(wanted.exclude))
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
    # the model's age is not for keeping
    body = b'%s,"model":%s}' % (reply.body[:-1], orjson.dumps(about(serving)))
    return Response(body, headers=headers, content_type=_JSON)


@recommendations.get("/movies/<id:movie_id>/similar")
@recommendations.input(WantedSimilar, location="query", arg_name="wanted")
@recommendations.output(SimilarMovies)
@recommendations.doc(responses={404: "There is no film, or no user, of this id."})
def alike(movie_id: int, wanted: WantedSimilar) -> Response:
    """List films like another one."""
    serving = _serving()
    if movie_id not in serving.films.by_id:
        raise no_movie()
    if serving.served is None:
        return _json({"items": [], "model": None})
    with context().pool.connection() as connection:
        watched = _watched(connection, wanted.user_id)
        scores = _scores_alike(serving, serving.served.model, movie_id, wanted.limit, watched)
        movies = read_movies(connection, [movie_id, *scores])
    if movie_id not in movies:
        raise no_movie()  # deleted since the catalogue was read
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
    found = _shown(_serving())
    if found is None:
        raise HTTPError(
            HTTPStatus.NOT_FOUND,
            _serving().unfit
            or "there is no model yet: the daily batch trains one (the DAG elt_pipeline, or dataflix-train)",
        )
    return _json(found)


def _ids(listed: str) -> tuple[int, ...]:
    """The ids in a list, rising. Numbers outside of the range of ids are left out: no film has them."""
    numbers = {int(one) for one in listed.split(",") if one}
    return tuple(sorted(one for one in numbers if LEAST_ID <= one <= MOST_ID))


def _watched(connection: Connection[TupleRow], user_id: int | None) -> NDArray[np.int64]:
    """What a user has watched; nothing, where no user is asked about."""
    if user_id is None:
        return np.empty(0, np.int64)
    found = read_user_films(connection, user_id)
    if found is None:
        raise no_user()
    return found[0].watched


def _scores_alike(
    serving: Serving, model: Model, movie_id: int, count: int, hidden: NDArray[np.int64]
) -> dict[int, float]:
    """The films like one, of those that may be shown: scores by id, best first."""
    found = similar(model, movie_id, len(model.item_ids))
    kept = ~np.isin(found.item_ids, hidden)
    if serving.present is not None:
        kept &= serving.present[model.items(found.item_ids)] & serving.present[model.items([movie_id])]
    fitting = zip(found.item_ids[kept].tolist(), found.scores[kept].tolist(), strict=True)
    return dict(islice(fitting, count))


def _shown(serving: Serving) -> dict[str, Any] | None:
    if serving.served is None:
        return None
    return {**(about(serving) or {}), "metrics": serving.served.champion.metrics}


def _model_cache() -> ModelCache | None:
    found: ModelCache | None = current_app.extensions.get(_KEY)
    return found


def _serving() -> Serving:
    """What this process serves now; the whole of a request uses this one.

    Raises:
        HTTPError: 503, nothing is at hand yet.
    """
    cache = _model_cache()
    if cache is None or cache.current is None:
        raise HTTPError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the catalogue is not read yet: try again in a moment",
            headers={"Retry-After": "1"},
        )
    return cache.current


def _reply(serving: Serving, user: UserFilms, query: Query) -> Made:
    """The reply; made, unless it is at hand."""
    request = (user.user_id, query)
    tag = entity_tag(serving, user, query)
    kept = serving.replies.get(request)
    if kept is None or kept.tag != tag:
        kept = _made(serving, user, query, tag)
        serving.remember(request, kept)
    return kept


def _made(serving: Serving, user: UserFilms, query: Query, tag: str) -> Made:
    """Not written by its schema, which would check every field again."""
    started = time.perf_counter()
    found = make_reply(serving, user, query)
    shown = {one["movie_id"] for one in found["items"]}
    reasons = {one["because"]["movie_id"] for one in found["items"] if one["because"]}
    body = orjson.dumps({"user_id": user.user_id, **found})
    cache = _model_cache()
    if cache is not None:
        cache.metrics.seconds.observe(time.perf_counter() - started)
    return Made(tag, body, sorted(shown | reasons))


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), content_type=_JSON)
