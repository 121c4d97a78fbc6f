"""Addresses of the thresholds: what each would mean, and the form that saves two of them."""

from flask import Response, redirect, request, url_for

from desk import forms, policy, thresholds
from desk.pages import blueprint, me, page, telling_refusals


@blueprint.route("/thresholds/")
@telling_refusals
def show_thresholds() -> Response:
    """The thresholds compared."""
    given = request.args.get("days", "")
    days = int(given) if given in map(str, thresholds.PERIODS) else 30
    costs = policy.settings().costs
    with policy.begin(me()) as at:
        standing = policy.standing(at.connection)
        return page(
            "thresholds.html",
            standing=standing,
            saved=policy.saved(at, request.args),
            compared=thresholds.read(at.connection, days, costs),
            now=standing.newest.policy.thresholds,
            days=days,
            periods=thresholds.PERIODS,
            mature=thresholds.MATURE_DAYS,
            costs=costs,
        )


@blueprint.route("/thresholds/", methods=["POST"])
@telling_refusals
def save_thresholds() -> Response:
    """Saves thresholds as a version of the policy."""
    chosen = forms.thresholds_of(request.form.get("review", ""), request.form.get("block", ""))
    with policy.begin(me(), request.form.get("seen", "")) as at:
        saved = at.set_thresholds(chosen, request.form.get("comment", "").strip()[:200])
    return redirect(url_for("desk.show_thresholds", saved=saved.version))
