"""Brings Superset's metadata to what this version of the platform wants: tables, permissions, people, dashboards.

It runs when the server starts. A stamp in the metadata database says what was done, so that the next start skips it;
the stamp covers Superset's version, the assets, this code and the settings that it depends on.
"""

import hashlib
import logging
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

import bundle
import changes
from desk import pages as desk_pages
from flask import Flask
from flask_migrate import upgrade
from runtime_file import Runtime, secret
from sqlalchemy import inspect
from superset import db, security_manager
from superset.commands.importers.v1.assets import ImportAssetsCommand
from superset.daos.key_value import KeyValueDAO
from superset.extensions import appbuilder
from superset.key_value.models import KeyValueEntry
from superset.key_value.types import JsonKeyValueCodec, KeyValueResource
from superset.models.dashboard import Dashboard
from superset.utils.core import override_user
from werkzeug.security import check_password_hash

log = logging.getLogger("fraudstream.superset")

STAMP = UUID("7b0f1c1e-2f5d-4f0a-9c57-3a4f6b8d2e90")
VIEWER_ROLE = "Viewer"
ANALYST_ROLE = "Analyst"
#: Permissions that a viewer needs besides Superset's set for anonymous readers: the list of dashboards, and what its
#: pages send.
VIEWER_PERMISSIONS = {
    ("menu_access", "Dashboards"),
    ("can_log", "Superset"),
    ("can_recent_activity", "Log"),
}
#: What an analyst needs besides.
ANALYST_PERMISSIONS = {(desk_pages.PERMISSION, desk_pages.VIEW), ("menu_access", desk_pages.VIEW)}


def bootstrap(app: Flask, runtime: Runtime) -> None:
    """Does what is missing. Raises what Superset raises; the server then doesn't start, and its log says why."""
    wanted = {"platform": _platform(runtime), "dashboards": _dashboards(runtime)}
    with app.app_context():
        done = _stamp()
        if done.get("platform") != wanted["platform"]:
            log.info("Updating tables, permissions and roles")
            upgrade()
            appbuilder.add_permissions(update_perms=True)
            security_manager.add_permission_view_menu(desk_pages.PERMISSION, desk_pages.VIEW)
            security_manager.sync_role_definitions()
            viewing = security_manager.PUBLIC_ROLE_PERMISSIONS | VIEWER_PERMISSIONS
            _ensure_role(VIEWER_ROLE, viewing)
            _ensure_role(ANALYST_ROLE, viewing | ANALYST_PERMISSIONS)
        _ensure_user(runtime.admin_username, "Admin", secret(runtime.admin_password_file))
        _ensure_user(runtime.viewer_username, VIEWER_ROLE, secret(runtime.viewer_password_file))
        _ensure_user(runtime.analyst_username, ANALYST_ROLE, secret(runtime.analyst_password_file))
        if done != wanted:
            log.info("Importing dashboards")
            _import_assets(runtime)
            KeyValueDAO.upsert_entry(KeyValueResource.APP, wanted, JsonKeyValueCodec(), STAMP)
        db.session.commit()


def _platform(runtime: Runtime) -> str:
    """Fingerprint of what tables, permissions and roles depend on."""
    return _hash(version("apache-superset"), str(runtime.anonymous), Path(__file__).read_text())


def _dashboards(runtime: Runtime) -> str:
    """Fingerprint of the assets, and of who sees them."""
    return _hash(ANALYST_ROLE, repr(bundle.read(runtime.charts_uri, runtime.shop_currency, changes_layer=0)))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _stamp() -> dict[str, str]:
    """Fingerprints of what was done last; empty with an empty database."""
    if not inspect(db.engine).has_table(KeyValueEntry.__tablename__):
        return {}
    stamp: dict[str, str] | None = KeyValueDAO.get_value(KeyValueResource.APP, STAMP, JsonKeyValueCodec())
    return stamp or {}


def _ensure_user(username: str, role: str, password: str) -> None:
    user = security_manager.find_user(username)
    if not user:
        added = security_manager.add_user(
            username,
            username.title(),
            "Fraudstream",
            f"{username}@localhost",
            security_manager.find_role(role),
            password,
        )
        if not added:
            raise RuntimeError(f"Superset refused to add the user {username!r}: see the line above in its log")
    elif not check_password_hash(user.password, password):
        security_manager.reset_password(user.id, password)


def _ensure_role(name: str, permissions: set[tuple[str, str]]) -> None:
    role = security_manager.add_role(name)
    for permission, view in sorted(permissions):
        if found := security_manager.find_permission_view_menu(permission, view):
            security_manager.add_permission_role(role, found)


def _import_assets(runtime: Runtime) -> None:
    with override_user(security_manager.find_user(runtime.admin_username)):
        assets = bundle.read(runtime.charts_uri, runtime.shop_currency, changes.layer().id)
        ImportAssetsCommand(assets).run()
    roles = [VIEWER_ROLE, ANALYST_ROLE, *(["Public"] if runtime.anonymous else [])]
    for dashboard in db.session.query(Dashboard).filter(Dashboard.slug.in_(bundle.dashboard_slugs())):
        dashboard.roles = [security_manager.find_role(role) for role in roles]
    db.session.commit()
