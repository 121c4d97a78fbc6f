"""Addresses of the policy's versions: who made and approved them and why, what differs, going back; the audit log."""

import difflib
import json
from typing import Any

from flask import Response, redirect, request, url_for

from desk import forms, policy
from desk.pages import blueprint, me, page, telling_refusals
from fraudstream.policy import audit, files, versions
from fraudstream.policy.versions import PolicyVersion

#: Versions and changes that a page shows.
VERSIONS, CHANGES = 100, 100
#: How long a change's content may be in the audit log's table.
TOLD = 300


@blueprint.route("/policy/")
@telling_refusals
def show_policy() -> Response:
    """The versions, the newest first."""
    with policy.begin(me()) as at:
        standing = policy.standing(at.connection)
        found = versions.history(at.connection, VERSIONS)
        return page("policy.html", versions=found, standing=standing, saved=policy.saved(at, request.args))


@blueprint.route("/policy/", methods=["POST"])
@telling_refusals
def save_safeguards() -> Response:
    """Saves who approves, and the share that is reviewed by chance, as a version of the policy."""
    share = forms.share_of(request.form.get("random_review", ""))
    approvals = forms.approvals_of(request.form.get("approvals", ""))
    comment = request.form.get("comment", "").strip()[:200]
    with policy.begin(me(), request.form.get("seen", "")) as at:
        saved = at.set_safeguards(random_review_share=share, approvals_needed=approvals, comment=comment)
    return redirect(url_for("desk.show_policy", saved=saved.version))


@blueprint.route("/policy/<int:number>")
@telling_refusals
def show_version(number: int) -> Response:
    """One version, and what it changed."""
    with policy.begin(me()) as at:
        shown = versions.version(at.connection, number)
        before = versions.version(at.connection, max(number - 1, 0))
        return page(
            "policy_version.html",
            shown=shown,
            before=before,
            lines=_difference(before, shown),
            document=files.as_toml(shown.policy),
            standing=policy.standing(at.connection),
        )


@blueprint.route("/policy/<int:number>/approve", methods=["POST"])
@telling_refusals
def approve_version(number: int) -> Response:
    """Puts a version that waits to work."""
    with policy.begin(me()) as at:
        versions.approve(at.connection, number, me())
    return redirect(url_for("desk.show_policy"))


@blueprint.route("/policy/<int:number>/back", methods=["POST"])
@telling_refusals
def roll_back(number: int) -> Response:
    """Saves an earlier version again, as the newest."""
    with policy.begin(me()) as at:
        saved = versions.roll_back(
            at.connection, number, author=me(), comment=request.form.get("comment", "").strip()[:200]
        )
    return redirect(url_for("desk.show_policy", saved=saved.version))


@blueprint.route("/audit/")
@telling_refusals
def show_audit() -> Response:
    """Who changed what, the newest first."""
    search, given = request.args.get("search", "").strip(), request.args.get("before", "")
    before = int(given) if given.isascii() and given.isdecimal() and len(given) < 19 else audit.NEWEST
    with policy.begin(me()) as at:
        found = audit.history(at.connection, CHANGES, search=search, before=before)
    following = found[-1].audit_id if len(found) == CHANGES else None
    return page("audit.html", changes=found, search=search, told=_told, following=following)


def _difference(before: PolicyVersion, after: PolicyVersion) -> list[tuple[str, str]]:
    """The lines that differ, with some around them: each with `added`, `removed` or nothing."""
    old, new = (files.as_toml(found.policy).splitlines() for found in (before, after))
    kinds = {"+": "added", "-": "removed", "@": "gap"}
    lines = list(difflib.unified_diff(old, new, lineterm="", n=3))[2:]
    return [(kinds.get(line[:1], ""), "…" if line[:1] == "@" else line[1:]) for line in lines]


def _told(content: Any) -> str:
    """What was before or after a change, on a line."""
    if content is None:
        return ""
    text = json.dumps(content, ensure_ascii=False)
    return text if len(text) <= TOLD else f"{text[: TOLD - 1]}…"
