"""The application: what it is put together from."""

from __future__ import annotations

from apiflask import APIFlask

from dataflix_backend import access, openapi, problems, request_hooks
from dataflix_backend.context import Context
from dataflix_backend.docs import docs
from dataflix_backend.health import health, metrics_page
from dataflix_backend.movies import movies
from dataflix_backend.page.views import pipeline, site
from dataflix_backend.ratings import ratings
from dataflix_backend.recommendations import recommendations
from dataflix_backend.users import users

_MOST_BODY_BYTES = 65_536
#: What the application is made of: each has its own part of the paths.
_BLUEPRINTS = (users, movies, ratings, recommendations, pipeline, site, health, metrics_page, docs)


def create_app(shared: Context) -> APIFlask:
    """The application of one process; its pool must be open before the first request."""
    app = APIFlask(__name__, title="Dataflix", version="0.1.0", docs_path=None)
    # Flask would take it from FLASK_DEBUG: no request may change how errors are handled, whatever is exported
    app.debug = False
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BODY_BYTES
    app.url_map.merge_slashes = False  # else /movies//1 is redirected, by a page in HTML
    app.extensions["dataflix"] = shared
    with_token = bool(shared.settings.backend_token.get_secret_value())
    openapi.install(app, with_token=with_token)
    problems.install(app)
    request_hooks.install(app)
    request_hooks.limit(app, shared.settings.backend_rate_limit)
    access.install(app, shared.settings)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app
