"""What training reaches over the graph."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from kgrec.data.records.known import Known
from kgrec.graph.ckg import CollaborativeKG


def reached(ckg: CollaborativeKG, hops: int | None = None) -> Known:
    """Return the users and items joined by facts, at most ``hops`` in a row (None: any number), to
    one with an interaction.

    A cold item with facts is reached by way of the entities that it shares with used ones; an item
    without facts, or among entities that no used item touches, is not: nothing that it is ranked by
    has been moved by training.
    """
    used = ckg.relation == 0
    nodes = np.zeros(ckg.num_nodes, dtype=bool)
    nodes[ckg.head[used]] = True
    nodes[ckg.tail[used]] = True
    ones = np.ones(len(ckg.head), dtype=np.int8)
    graph = sp.csr_matrix((ones, (ckg.head, ckg.tail)), shape=(ckg.num_nodes, ckg.num_nodes))

    if hops is None:
        count, component = connected_components(graph, directed=False)
        trained = np.zeros(count, dtype=bool)
        trained[component[nodes]] = True
        nodes = trained[component]

    for _ in range(hops or 0):
        further = nodes.copy()
        further[ckg.tail[nodes[ckg.head]]] = True
        further[ckg.head[nodes[ckg.tail]]] = True
        if (further == nodes).all():
            break

        nodes = further

    return Known(nodes[ckg.num_entities :], nodes[: ckg.num_items])
