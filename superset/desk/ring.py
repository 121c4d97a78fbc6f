"""The ring around a transaction: what it is tied to by devices, cards and addresses, and what that is tied to in turn.

Two hops: purchases that share an entity with it, and purchases that share one with those. Both are bounded, the newest
first.
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from desk.database import Row, rows
from desk.transaction import cell_name
from fraudstream.storage.expressions import ADDRESS_CELL

#: Its kind and name.
Entity = tuple[str, str]
#: Purchases that each hop adds at most, of each kind of entity.
HOPS = (40, 80)
SIZE = 900
#: Distance between the circles that nodes lie on; in turn entities and purchases.
STEP = 105.0
LEAST_RADIUS, GREATEST_RADIUS = 5.0, 22.0

#: By what purchases are tied, each in an index with the time.
_COLUMNS = {"device": "device_id", "card": "card_token", "address": ADDRESS_CELL}
#: The newest purchases of entities of one kind: of each entity by its index, then of them all. Else the planner may
#: sort all that a shared one ever bought, or walk through the newest of the shop.
_NEWEST = """(
    SELECT s.transaction_id FROM unnest(CAST(:{kind} AS text[])) AS entity (id) CROSS JOIN LATERAL (
        SELECT transaction_id, event_time FROM fraud.scored_transactions
        WHERE {column} = entity.id ORDER BY event_time DESC LIMIT :limit
    ) AS s ORDER BY s.event_time DESC LIMIT :limit
)"""
_SHARED = " UNION ".join(_NEWEST.format(kind=kind, column=column) for kind, column in _COLUMNS.items())
_SHARING = f"""
SELECT t.transaction_id, t.customer_id, t.event_time, t.device_id, t.card_token, t.shipping_latitude,
    t.shipping_longitude, t.shipping_city, (t.amount * t.exchange_rate)::float8 AS shop_amount, t.is_fraud,
    l.labelled_fraud
FROM ({_SHARED}) AS shared
JOIN fraud.scored_transactions t USING (transaction_id)
LEFT JOIN LATERAL (
    SELECT x.is_fraud AS labelled_fraud FROM fraud.transaction_labels x WHERE x.transaction_id = t.transaction_id
    ORDER BY x.labelled_at DESC, x.label_id DESC LIMIT 1
) l ON true
ORDER BY t.event_time DESC, t.transaction_id
"""  # noqa: S608 (constants)


@dataclass(frozen=True)
class Node:
    """A purchase or an entity in the picture."""

    kind: str
    """`now`, `fraud`, `flagged`, `usual`, or `device`, `card`, `address`."""
    x: float
    y: float
    radius: float
    told: str
    transaction_id: str = ""


@dataclass(frozen=True)
class Ring:
    """The picture, and what it comes to."""

    nodes: list[Node]
    lines: list[tuple[float, float, float, float]]
    purchases: int
    frauds: int
    customers: int
    amount: float
    size: int = SIZE


def read(connection: Connection, transaction_id: str, transaction: Row) -> Ring:
    """The ring around a transaction."""
    known = {transaction_id: transaction}
    asked: set[Entity] = set()
    for limit in HOPS:
        entities = {entity for one in known.values() for entity in _entities(one)} - asked
        for one in _sharing(connection, entities, limit):
            known.setdefault(str(one["transaction_id"]), one)
        asked |= entities
    return draw(transaction_id, known)


def _sharing(connection: Connection, entities: Iterable[Entity], limit: int) -> list[Row]:
    """The newest purchases of `entities`, `limit` of each kind."""
    by_kind: dict[str, list[str]] = {kind: [] for kind in _COLUMNS}
    for kind, name in sorted(entities):
        by_kind[kind].append(name)
    return rows(connection, _SHARING, limit=limit, **by_kind)


def draw(center: str, purchases: dict[str, Row]) -> Ring:
    """The picture of purchases by their ids: a tree from `center` outwards, and the other ties across it."""
    members = defaultdict(list)
    for name, one in purchases.items():
        for entity in _entities(one):
            members[entity].append(name)
    ties = {entity: names for entity, names in members.items() if len(names) > 1}
    of = {name: [entity for entity in _entities(one) if entity in ties] for name, one in purchases.items()}
    placed = _places(center, of, ties)
    greatest = max((one["shop_amount"] or 0.0 for one in purchases.values() if "shop_amount" in one), default=0.0)
    shown = [name for name in purchases if name in placed]
    nodes = [_entity_node(entity, ties[entity], placed[entity]) for entity in ties if entity in placed]
    nodes += [_purchase_node(name, purchases[name], name == center, greatest, placed[name]) for name in shown]
    lines = [(*placed[name], *placed[entity]) for name in shown for entity in of[name]]
    return Ring(
        nodes,
        lines,
        purchases=len(shown),
        frauds=sum(_is_fraud(purchases[name]) for name in shown),
        customers=len({purchases[name]["customer_id"] for name in shown}),
        amount=sum(_amount(purchases[name]) for name in shown),
    )


Key = str | Entity


def _places(center: str, of: dict[str, list[Entity]], ties: dict[Entity, list[str]]) -> dict[Key, tuple[float, float]]:
    """Where each node lies that `center` is tied to: children within the sector of their parent."""
    children: dict[Key, list[Key]] = defaultdict(list)
    depth: dict[Key, int] = {center: 0}
    order: list[Key] = []
    waiting: deque[Key] = deque([center])
    while waiting:
        node = waiting.popleft()
        order.append(node)
        near: Iterable[Key] = of[node] if isinstance(node, str) else ties[node]
        for other in near:
            if other not in depth:
                depth[other] = depth[node] + 1
                children[node].append(other)
                waiting.append(other)
    leaves: dict[Key, int] = {}
    for node in reversed(order):
        leaves[node] = sum(leaves[child] for child in children[node]) or 1
    step = min(STEP, (SIZE / 2 - GREATEST_RADIUS - 4) / max(max(depth.values()), 1))
    sectors: dict[Key, tuple[float, float]] = {center: (0.0, 2 * math.pi)}
    places: dict[Key, tuple[float, float]] = {}
    for node in order:
        begin, end = sectors[node]
        angle, distance = (begin + end) / 2, step * depth[node]
        places[node] = (
            round(SIZE / 2 + distance * math.cos(angle), 1),
            round(SIZE / 2 + distance * math.sin(angle), 1),
        )
        for child in children[node]:
            width = (end - sectors[node][0]) * leaves[child] / leaves[node]
            sectors[child] = (begin, begin + width)
            begin += width
    return places


def _entities(one: Row) -> list[Entity]:
    """What a purchase may share with others, as kind and name."""
    found = [("device", one["device_id"]), ("card", one["card_token"]), ("address", cell_name(one))]
    return [(kind, str(name)) for kind, name in found if name]


def _entity_node(entity: Entity, members: list[str], place: tuple[float, float]) -> Node:
    kind, name = entity
    return Node(kind, *place, 5.0, f"{kind} {name}: {len(members)} purchases")


def _purchase_node(name: str, one: Row, is_center: bool, greatest: float, place: tuple[float, float]) -> Node:
    amount = _amount(one)
    radius = (
        LEAST_RADIUS + (GREATEST_RADIUS - LEAST_RADIUS) * math.sqrt(amount / greatest) if greatest else LEAST_RADIUS
    )
    if _is_fraud(one):
        kind = "fraud"
    elif is_center:
        kind = "now"
    else:
        kind = "flagged" if one["is_fraud"] else "usual"
    told = f"{one['customer_id']}: {amount:,.2f} on {one['event_time']:%d %b %Y}"
    return Node(kind, *place, round(min(radius, GREATEST_RADIUS), 1), told, name)


def _is_fraud(one: Row) -> bool:
    """Whether a label says so; of the transaction in the middle, whether its alert is confirmed."""
    return bool(one.get("labelled_fraud")) or one.get("status") == "confirmed"


def _amount(one: Row) -> float:
    """The amount in the shop currency; 0 without a rate."""
    if "shop_amount" in one:
        return float(one["shop_amount"] or 0.0)
    return float(one["amount"] * one["exchange_rate"]) if one["exchange_rate"] is not None else 0.0
