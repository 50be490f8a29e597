"""The application: what it is put together from."""

from __future__ import annotations

from apiflask import APIFlask

from dataflix_backend import problems
from dataflix_backend.access import require_token
from dataflix_backend.context import Context
from dataflix_backend.health import health

_MOST_BODY_BYTES = 65_536
#: What the application is made of: each has its own part of the paths.
_BLUEPRINTS = (health,)


def create_app(shared: Context) -> APIFlask:
    """The application of one process; its pool must be open before the first request."""
    app = APIFlask(__name__, title="Dataflix", version="0.1.0", docs_path="/docs")
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BODY_BYTES
    app.extensions["dataflix"] = shared
    problems.install(app)
    app.before_request(require_token)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app
