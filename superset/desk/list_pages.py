"""Addresses of the lists that rules name: what is on them, why and until when; adding, removing, searching."""

from flask import Response, redirect, request, url_for

from desk import forms, policy
from desk.decisions import RefusedError
from desk.pages import blueprint, me, page, telling_refusals
from fraudstream.policy import lists
from fraudstream.policy.document import COLUMNS_OF_KIND, Kind

#: Entries that a page shows.
SHOWN = 200
#: Kinds that transactions have something of, in words.
KINDS = {
    Kind.CUSTOMER: "customers",
    Kind.DEVICE: "devices",
    Kind.CARD: "cards",
    Kind.ADDRESS_CELL: "addresses",
    Kind.IP_COUNTRY: "countries",
    Kind.EMAIL_HASH: "e-mail addresses, hashed",
}


@blueprint.route("/lists/")
@telling_refusals
def show_lists() -> Response:
    """All lists; with a search, what is found on any of them."""
    search = request.args.get("search", "").strip()
    with policy.begin(me()) as at:
        return page(
            "lists.html",
            lists=lists.summaries(at.connection),
            search=search,
            found=lists.find(at.connection, search, SHOWN) if search else [],
            kinds=KINDS,
            offered=[kind for kind in KINDS if COLUMNS_OF_KIND[kind]],
        )


@blueprint.route("/lists/<path:name>")
@telling_refusals
def show_list(name: str) -> Response:
    """What is on a list."""
    search = request.args.get("search", "").strip()
    with policy.begin(me()) as at:
        entries = lists.entries(at.connection, name, SHOWN, search=search)
        [summary] = [one for one in lists.summaries(at.connection) if one.name == name]
        return page("list.html", summary=summary, entries=entries, search=search, kinds=KINDS, shown=SHOWN)


@blueprint.route("/new-list", methods=["POST"])
@telling_refusals
def create_list() -> Response:
    """Makes an empty list."""
    name, kind = request.form.get("name", "").strip(), request.form.get("kind", "")
    if kind not in list(KINDS):
        raise RefusedError("Say what the list should hold.")
    with policy.begin(me()) as at:
        lists.create(at.connection, name, Kind(kind), who=me(), description=request.form.get("description", "").strip())
    return redirect(url_for("desk.show_list", name=name))


@blueprint.route("/add-to-list", methods=["POST"])
@telling_refusals
def add_to_list() -> Response:
    """Adds what was typed, a value a line."""
    name = request.form.get("list", "")
    with policy.begin(me()) as at:
        lists.add(at.connection, name, forms.entries_of(request.form), who=me())
    return redirect(url_for("desk.show_list", name=name))


@blueprint.route("/remove-from-list", methods=["POST"])
@telling_refusals
def remove_from_list() -> Response:
    """Takes entries off a list; they are kept, as removed."""
    name, values = request.form.get("list", ""), request.form.getlist("value")
    if not values:
        raise RefusedError("Choose what should come off the list.")
    with policy.begin(me()) as at:
        lists.remove(at.connection, name, values, who=me())
    return redirect(url_for("desk.show_list", name=name, search=request.form.get("search") or None))
