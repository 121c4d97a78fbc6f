"""The platform's own addresses inside Superset: map tiles and the logo, and two corrections of Superset's API."""

from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import map_tiles
from desk import pages as desk_pages
from flask import Blueprint, Flask, Response, abort, jsonify, request, send_from_directory

DATA = Path(__file__).parent / "data"

blueprint = Blueprint("fraudstream", __name__)


@blueprint.route("/tiles/<int:z>/<int:x>/<int:y>.png")
def tile(z: int, x: int, y: int) -> Response:
    """A map tile in the usual XYZ scheme."""
    if z > map_tiles.MAX_ZOOM or x >= 2**z or y >= 2**z:
        abort(404)
    return Response(map_tiles.draw(z, x, y), mimetype="image/png", headers={"Cache-Control": "public, max-age=86400"})


@blueprint.route("/fraudstream/<any('logo.svg', 'logo-dark.svg'):name>")
def logo(name: str) -> Response:
    """The platform's logo, for a light or a dark page."""
    return send_from_directory(DATA, name, max_age=86400)


def register(app: Flask) -> None:
    """Superset calls it once with the application (FLASK_APP_MUTATOR)."""
    from changes import Copier  # needs the application's models

    app.before_request(_accept_label_colors)
    app.before_request(Copier().before_request)
    desk_pages.register(app)


def _accept_label_colors() -> Response | None:
    """Answers a viewer's request to save label colours, which changes nothing.

    The page of a dashboard sends it when it is left. Superset refuses it to whoever may not edit, and the page then
    takes a viewer who did nothing wrong to the sign-in.
    """
    from superset import security_manager

    is_colors = request.method == "PUT" and request.endpoint == "DashboardRestApi.put_colors"
    if is_colors and not security_manager.can_access("can_write", "Dashboard"):
        return jsonify(result={})
    return None


class IgnoreContentTypeOfGet:
    """Drops the content type of a GET request: it has no body.

    Many clients send `Content-Type: application/json` with every request; `GET /api/v1/chart/<id>/data/` would then try
    to parse the empty body, and refuse the request.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Passes the request on (WSGI)."""
        if environ["REQUEST_METHOD"] == "GET":
            environ.pop("CONTENT_TYPE", None)
        return self.app(environ, start_response)
