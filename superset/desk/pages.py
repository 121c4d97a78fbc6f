"""The desk's addresses: pages to look at, and forms that they send."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import runtime_file
from flask import Blueprint, Flask, Response, abort, g, make_response, redirect, render_template, request, url_for

from desk import database, decisions, drawing, lists, policy, queue, ring, sessions, transaction, words
from desk.decisions import RefusedError
from fraudstream import failpoints
from fraudstream.policy import lists as listed

#: Permission that the roles Analyst and Admin have (bootstrap.py).
PERMISSION, VIEW = "can_decide", "Desk"
#: The desk's rooms, by name and address.
ROOMS = (
    ("Alerts", "/desk/"),
    ("Rules", "/desk/rules/"),
    ("Lists", "/desk/lists/"),
    ("Thresholds", "/desk/thresholds/"),
    ("Policy", "/desk/policy/"),
)
#: Alerts that a form may decide at once.
MOST_AT_ONCE = 200

blueprint = Blueprint(
    "desk", __name__, url_prefix="/desk", template_folder="templates", static_folder="static", static_url_path="/static"
)


def register(app: Flask) -> None:
    """Adds the desk's words to the templates, and its entry to Superset's menu."""
    from superset.extensions import appbuilder

    failpoints.arm(policy.settings().stream.failpoints)
    app.jinja_env.filters.update({f"desk_{name}": given for name, given in words.FILTERS.items()})
    appbuilder.add_link(VIEW, href="/desk/", label=VIEW)


def _analysts_only() -> Response | None:
    """Sends who isn't signed in to the sign-in, and refuses everybody who may not decide."""
    from superset import appbuilder, security_manager

    if request.endpoint == "desk.static":
        return None
    if g.user is None or not g.user.is_authenticated:
        return redirect(appbuilder.get_url_for_login_with(request.full_path))
    if not security_manager.can_access(PERMISSION, VIEW):
        return make_response(render("refused.html", message="The desk is for analysts.", known=False), 403)
    return None


blueprint.before_request(_analysts_only)


@blueprint.after_request
def _keep_private(response: Response) -> Response:
    """Pages hold customers' data, and say what is true now: no cache keeps them."""
    if request.endpoint != "desk.static":
        response.headers["Cache-Control"] = "no-store"
    return response


def me() -> str:
    """The name that the analyst signs in with."""
    return str(g.user.username)


def render(template: str, **values: Any) -> str:
    """A page of the desk."""
    shown = {"currency": runtime_file.load().shop_currency, "rooms": ROOMS} | values
    return str(render_template(f"desk/{template}", **shown))


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A page for whoever is signed in, as an answer."""
    return make_response(render(template, me=me(), **values), status)


def telling_refusals(action: Callable[..., Response]) -> Callable[..., Response]:
    """An action whose refusal becomes a page that says why."""

    @wraps(action)
    def told(*args: Any, **kwargs: Any) -> Response:
        try:
            return action(*args, **kwargs)
        except RefusedError as refusal:
            return make_response(render("refused.html", message=str(refusal), known=True, me=me()), 409)

    return told


@blueprint.route("/")
def show_queue() -> str:
    """The alerts that wait."""
    choice = queue.Choice.of(request.args)
    with database.begin() as connection:
        found = queue.read(connection, choice, me())
        return render(
            "queue.html",
            me=me(),
            choice=choice,
            page=found,
            counts=queue.counts(connection, me()),
            counted=queue.COUNTED,
            views=queue.VIEWS,
            sorts=queue.SORT_NAMES,
            reasons=decisions.REASONS,
            has_rules=queue.has_column(connection, "matched_rules"),
            undoable=decisions.undoable(connection, me()),
        )


@blueprint.route("/alerts/<path:transaction_id>")
def show_alert(transaction_id: str) -> Response:
    """One transaction, with all that helps to decide."""
    choice = queue.Choice.of(request.args)
    with database.begin() as connection:
        seen = transaction.read(connection, transaction_id)
        if seen is None:
            return make_response(render("missing.html", transaction_id=transaction_id, me=me()), 404)
        page = render(
            "alert.html",
            me=me(),
            choice=choice,
            seen=seen,
            t=seen.transaction,
            usual=transaction.usual(seen.transaction, seen.past),
            amounts=drawing.amounts(seen.transaction, seen.past),
            browsed=sessions.read(connection, seen.transaction),
            not_browsed=sessions.missing(seen.transaction),
            similar=[one for one in seen.related if transaction.is_decidable(one)],
            kinds=transaction.KINDS,
            shown_rows=transaction.SHOWN_ROWS,
            reasons=decisions.REASONS,
            because=words.because,
            lists=lists.offered(connection, seen.transaction),
            kinds_on_lists=lists.KINDS,
            days=lists.DAYS,
            following=_following(connection, choice, transaction_id),
            undoable=decisions.undoable(connection, me()),
        )
    return make_response(page)


@blueprint.route("/rings/<path:transaction_id>")
def show_ring(transaction_id: str) -> Response:
    """What a transaction is tied to by devices, cards and addresses."""
    with database.begin() as connection:
        found = transaction.find(connection, transaction_id)
        if found is None:
            return make_response(render("missing.html", transaction_id=transaction_id, me=me()), 404)
        drawn = ring.read(connection, transaction_id, found)
    page = render("ring.html", me=me(), ring=drawn, transaction_id=transaction_id, choice=queue.Choice.of(request.args))
    return make_response(page)


@blueprint.route("/open/<code>")
def open_alert(code: str) -> Response:
    """The alert whose id is written in hexadecimal, as dashboards link to it: no sign of an id means anything there."""
    try:
        transaction_id = bytes.fromhex(code).decode()
    except ValueError:
        abort(404)
    return redirect(url_for("desk.show_alert", transaction_id=transaction_id))


@blueprint.route("/claim", methods=["POST"])
@telling_refusals
def claim() -> Response:
    """Claims an alert, or takes it over."""
    transaction_id = request.form.get("transaction_id", "")
    with database.begin() as connection:
        decisions.claim(connection, transaction_id, me(), request.form.get("taken_from", ""))
    return _back(transaction_id)


@blueprint.route("/release", methods=["POST"])
def release() -> Response:
    """Gives a claim back."""
    transaction_id = request.form.get("transaction_id", "")
    with database.begin() as connection:
        decisions.release(connection, transaction_id, me())
    return _back(transaction_id)


@blueprint.route("/note", methods=["POST"])
@telling_refusals
def note() -> Response:
    """Keeps a note about a transaction."""
    transaction_id = request.form.get("transaction_id", "")
    with database.begin() as connection:
        decisions.note(connection, transaction_id, request.form.get("note", ""), me())
    return _back(transaction_id)


@blueprint.route("/list", methods=["POST"])
@telling_refusals
def put_on_list() -> Response:
    """Puts a device, card, address or customer on a list for a month."""
    transaction_id = request.form.get("transaction_id", "")
    with database.begin() as connection:
        found = transaction.find(connection, transaction_id)
        if found is None:
            raise RefusedError(f"There is no transaction {transaction_id}.")
        name = request.form.get("list", "")
        entry = lists.entry(connection, found, name)
    with policy.begin(me()) as at:
        listed.add(at.connection, name, [entry], who=me())
    return _back(transaction_id)


@blueprint.route("/decide", methods=["POST"])
@telling_refusals
def decide() -> Response:
    """Decides one alert, or several at once, each by itself: what is refused of them doesn't hold up the others."""
    verdict = request.form.get("verdict", "")
    reason = request.form.get(f"reason_{verdict}") or "not_given"
    judged = [decisions.Judged.parse(item) for item in dict.fromkeys(request.form.getlist("item"))]
    if not judged or len(judged) > MOST_AT_ONCE:
        raise RefusedError(f"Choose between 1 and {MOST_AT_ONCE} alerts.")
    refused: list[tuple[str, str]] = []
    for one in judged:
        try:
            with database.begin() as connection:
                decisions.decide(connection, one, verdict, reason, me())
        except RefusedError as refusal:
            refused.append((one.transaction_id, str(refusal)))
    if refused:
        decided = len(judged) - len(refused)
        page = render("undecided.html", refused=refused, decided=decided, verdict=verdict, choice=_choice(), me=me())
        return make_response(page, 409)
    following = request.form.get("following", "")
    return _back(following) if following else redirect(f"{url_for('desk.show_queue')}?{_choice().address()}")


@blueprint.route("/undo", methods=["POST"])
@telling_refusals
def undo() -> Response:
    """Takes back verdicts of the newest minute."""
    numbers = [int(given) for given in request.form.getlist("verdict_id") if given.isascii() and given.isdecimal()]
    with database.begin() as connection:
        undone = decisions.undo(connection, numbers[:MOST_AT_ONCE], me())
    return _back(undone[0]) if len(undone) == 1 else redirect(url_for("desk.show_queue"))


def _choice() -> queue.Choice:
    """The queue that a form was sent from."""
    return queue.Choice.of(request.form)


def _back(transaction_id: str) -> Response:
    """The alert's page, or the queue when the form came from there."""
    if request.form.get("from") == "queue":
        return redirect(f"{url_for('desk.show_queue')}?{_choice().address()}")
    address = url_for("desk.show_alert", transaction_id=transaction_id)
    return redirect(f"{address}?{_choice().address()}")


def _following(connection: Any, choice: queue.Choice, transaction_id: str) -> str:
    """The next open alert of the queue that the analyst came from; empty when there is no other."""
    waiting = queue.read(connection, choice, me(), limit=queue.PAGE_ROWS).rows if choice.view == "open" else []
    ids = [str(one["transaction_id"]) for one in waiting if one["claimed_by"] in {None, me()}]
    if transaction_id in ids:
        ids = ids[ids.index(transaction_id) + 1 :] + ids[: ids.index(transaction_id)]
    return ids[0] if ids else ""
