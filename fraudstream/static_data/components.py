"""Components: customers whom shared devices, cards or addresses tie together, directly or over other customers.

What many share, such as a pick-up point, ties nobody: else half a shop would be one component.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import rustworkx


def components(shared: Iterable[Sequence[str]], most: int) -> list[set[str]]:
    """The components of two customers and more; `shared` holds the customers of each entity, all of them, each once.

    None has more than `most` customers. Entities of more are left out. Of a component that is still larger, those of
    more than half of `most` are, then those of more than a quarter, and so on until its parts are small enough.
    """
    found: list[set[str]] = []
    limit, waiting = most, list(shared)
    while waiting := [customers for customers in waiting if 2 <= len(customers) <= limit]:
        large: set[str] = set()
        for component in _connected(waiting):
            if len(component) <= most:
                found.append(component)
            else:
                large |= component
        waiting = [customers for customers in waiting if customers[0] in large]
        limit //= 2
    return found


def _connected(shared: Sequence[Sequence[str]]) -> list[set[str]]:
    """The connected components of a graph in which each entity ties its first customer to its others."""
    names = list(dict.fromkeys(chain.from_iterable(shared)))
    number_of = {customer: place for place, customer in enumerate(names)}
    graph = rustworkx.PyGraph(multigraph=False)
    graph.add_nodes_from(names)
    graph.add_edges_from_no_data(
        [(number_of[first], number_of[other]) for first, *others in shared for other in others]
    )
    return [{names[place] for place in component} for component in rustworkx.connected_components(graph)]
