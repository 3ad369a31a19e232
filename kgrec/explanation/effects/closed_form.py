"""Exact parts of a score and exact effects of edits, for models that are linear propagation
(docs/explanations.md, sections 2, 4 and 5).

With A the normalized graph, L_m = A^m X and Z = sum over k of c_k L_k, a score is s = z_u . z_i /
n, n being 1 or the length of z_i (``by_direction``). Everything here is in numbers of nodes;
arithmetic is in float64 on the rows it needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch

from kgrec.models.capabilities import LinearPropagation
from kgrec.ops.csr import symmetric_weights
from kgrec.ops.propagate import propagate

MODES = ("delete", "mask")
Mode = str


@dataclass(frozen=True, slots=True)
class Edit:
    """Pairs of nodes taken out of a graph and put into it.

    Attributes:
        removed: Distinct pairs that are there, (pairs, 2).
        added: Distinct pairs that are not, (pairs, 2).
    """

    removed: np.ndarray
    added: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))


@dataclass(frozen=True, slots=True)
class Change:
    """What an edit takes from weights and degrees; less than 0 is put there.

    Attributes:
        rows: Node a of each weight A_ab that changes.
        columns: Its node b.
        weights: What goes from it.
        ends: Nodes with fewer neighbors, as often as they lose one.
        lost: How many each loses.
    """

    rows: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    ends: np.ndarray
    lost: np.ndarray


class Linear:
    """The layers of a linear model, and what scores are made of.

    Args:
        propagation: The model's propagation.
    """

    def __init__(self, propagation: LinearPropagation) -> None:
        csr = propagation.graph.csr
        self.coefficients = np.asarray(propagation.coefficients, dtype=np.float64)
        self.by_direction = propagation.by_direction
        self.num_layers = len(self.coefficients) - 1
        self.num_nodes = csr.num_nodes

        with torch.no_grad():
            layers = [propagation.start.detach()]
            weights = symmetric_weights(csr, layers[0].dtype)
            for _ in range(self.num_layers):
                layers.append(propagate(layers[-1], csr, weights, weights))

        self.layers = [layer.cpu().numpy() for layer in layers]
        ptr = csr.ptr.cpu().numpy()
        idx = csr.idx.cpu().numpy()
        self.degree = np.diff(ptr)
        scale = 1 / np.sqrt(np.maximum(self.degree, 1))
        weight = np.repeat(scale, self.degree) * scale[idx]
        self.matrix = sp.csr_matrix((weight, idx, ptr), shape=(self.num_nodes, self.num_nodes))

    @property
    def turned(self) -> sp.csr_matrix:
        """The graph with its edges turned around: itself."""
        return self.matrix

    def rows(self, nodes: np.ndarray, first: int = 0) -> np.ndarray:
        """Return sum over k >= first of c_k L_(k - first) of some nodes, (nodes, dim): z for 0, the
        y of Eq. (4) for 1.
        """
        total = np.zeros((len(nodes), self.layers[0].shape[1]))
        for k in range(first, self.num_layers + 1):
            total += self.coefficients[k] * self.layers[k - first][nodes]

        return total

    @cached_property
    def squares(self) -> np.ndarray:
        """Squared length of each node's row of X."""
        return np.asarray(np.einsum("nd,nd->n", self.layers[0], self.layers[0], dtype=np.float64))

    def ranking(self, user: int, items: int, edit: Edit, mode: Mode = "delete") -> np.ndarray:
        """Return the scores of the first ``items`` nodes for a user's node under an edit, by
        propagating everything again.
        """
        ones = sp.csr_matrix(
            (np.ones(len(self.matrix.data)), self.matrix.indices, self.matrix.indptr),
            shape=self.matrix.shape,
        )
        rows = np.concatenate(
            [edit.removed, edit.removed[:, ::-1], edit.added, edit.added[:, ::-1]]
        )
        sign = np.repeat([-1.0, 1.0], [2 * len(edit.removed), 2 * len(edit.added)])
        edited = ones + sp.csr_matrix((sign, (rows[:, 0], rows[:, 1])), shape=ones.shape)

        if mode == "delete":
            degree = np.asarray(edited.sum(1)).ravel()
        else:
            degree = self.degree

        scale = 1 / np.sqrt(np.maximum(np.round(degree), 1))
        weight = (sp.diags(scale) @ edited @ sp.diags(scale)).tocsr()
        layer = self.layers[0].astype(np.float64)
        z = self.coefficients[0] * layer

        for coefficient in self.coefficients[1:]:
            layer = weight @ layer
            z += coefficient * layer

        length = lengths(z[:items]) if self.by_direction else 1.0
        return np.asarray(z[:items] @ z[user] / length)

    def at(self, user: int, item: int) -> "Pair":
        """Return what is known of one score."""
        return Pair(self, user, item)

    def weights(self, pairs: np.ndarray) -> np.ndarray:
        """Return the weight of each pair of nodes, 0 where there is no edge."""
        if not len(pairs):
            return np.empty(0)
        return np.asarray(self.matrix[pairs[:, 0], pairs[:, 1]]).ravel()


def lengths(vectors: np.ndarray) -> np.ndarray:
    """Return what vectors are divided by to compare them by direction: their lengths; infinity for
    zeros, which have none.
    """
    length = np.linalg.norm(vectors, axis=-1)
    return np.where(length > 1e-12, length, np.inf)


class Pair:
    """One score of a linear model, and what follows from two pushed vectors.

    Args:
        linear: The model.
        user: The user's node.
        item: The item.
    """

    def __init__(self, linear: Linear, user: int, item: int) -> None:
        self.linear = linear
        self.user = user
        self.item = item
        self.z_user, self.z_item = linear.rows(np.array([user, item]))

        if linear.by_direction:
            self.length = float(lengths(self.z_item))
        else:
            self.length = 1.0

        self.toward_item = self.z_item / self.length  # the derivative of s by z_u
        self.score = float(self.z_user @ self.toward_item)
        self.toward_user = self.z_user / self.length  # the derivative of s by z_i
        if linear.by_direction:
            self.toward_user = self.toward_user - self.score * self.toward_item / self.length

    def _push(self, node: int) -> list[np.ndarray]:
        """Return (A^t)^T e for t = 0 .. K; while few nodes are reached, from their rows alone."""
        matrix = self.linear.matrix
        turned = self.linear.turned
        pushed = [np.zeros(self.linear.num_nodes)]
        pushed[0][node] = 1.0
        reached = np.array([node])

        for _ in range(self.linear.num_layers):
            near = 4 * int(self.linear.degree[reached].sum()) < matrix.nnz
            pushed.append(matrix[reached].T @ pushed[-1][reached] if near else turned @ pushed[-1])
            reached = np.flatnonzero(pushed[-1])

        return pushed

    @cached_property
    def from_user(self) -> list[np.ndarray]:
        """Row u of A^t for t = 0 .. K."""
        return self._push(self.user)

    @cached_property
    def from_item(self) -> list[np.ndarray]:
        """Row i of A^t for t = 0 .. K."""
        return self._push(self.item)

    def own(self) -> float:
        """Return c_0 <x_u, z_i> / n: what no edge carries, Eq. (4)."""
        linear = self.linear
        return float(
            linear.coefficients[0]
            * (linear.layers[0][self.user].astype(np.float64) @ self.toward_item)
        )

    def by_neighbor(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the user's neighbors and A_uj <y_j, z_i> / n of each, Eq. (4)."""
        neighbors, weight = self._neighbors(self.user)
        return neighbors, weight * (self.linear.rows(neighbors, 1) @ self.toward_item)

    def from_item_side(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the same cut from the other side: c_0 <z_u, x_i> / n, the item's neighbors, and
        A_in <z_u, y_n> / n of each.
        """
        linear = self.linear
        neighbors, weight = self._neighbors(self.item)
        own = (
            float(
                linear.coefficients[0]
                * (linear.layers[0][self.item].astype(np.float64) @ self.z_user)
            )
            / self.length
        )

        return own, neighbors, weight * (linear.rows(neighbors, 1) @ self.z_user) / self.length

    def supported(self, neighbors: np.ndarray, joined: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Return, per neighbor j of the user, the sum of A_uj A_in <y_j, y_n> / n over the item's
        neighbors n that j supports, Eq. (5).

        Args:
            neighbors: Neighbors of the user.
            joined: Position of j in ``neighbors``, and node n, of each pair that a fact joins or
                that is one node.
        """
        place, node = joined
        y_user = self.linear.rows(neighbors, 1)
        y_item = np.zeros((len(neighbors), len(self.z_item)))
        order = np.argsort(place, kind="stable")
        weight = self._weights_of(self.item)[node[order]]
        starts = np.searchsorted(place[order], np.arange(len(neighbors) + 1))
        found, at = np.unique(node[order], return_inverse=True)
        vectors = self.linear.rows(found, 1)
        matrix = sp.csr_matrix((weight, at.ravel(), starts), shape=(len(neighbors), len(found)))
        y_item = matrix @ vectors

        return np.asarray(
            self._weights_of(self.user)[neighbors]
            * np.einsum("nd,nd->n", y_user, y_item)
            / self.length
        )

    def on_graph(self) -> float:
        """Return what walks from the user to the item carry, of all lengths: sum over a of P_ua
        P_ia |x_a|^2 / n.
        """
        linear = self.linear
        reach = [
            sum(c * pushed for c, pushed in zip(linear.coefficients, side, strict=True))
            for side in (self.from_user, self.from_item)
        ]

        return float((reach[0] * reach[1] * linear.squares).sum() / self.length)

    def joint(self, nodes: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return c(p) / n of paths of one length, Eq. (3).

        Args:
            nodes: (paths, length + 1).
            weight: Product of the weights of each path's hops.
        """
        linear = self.linear
        length = nodes.shape[1] - 1
        total = np.zeros(len(nodes))

        for m in range(max(0, length - linear.num_layers), min(linear.num_layers, length) + 1):
            total += (
                linear.coefficients[m]
                * linear.coefficients[length - m]
                * linear.squares[nodes[:, m]]
            )

        return np.asarray(weight * total / self.length)

    @cached_property
    def _sensitivity(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Y^(t) (A Y^(t)) times the two derivatives, t = 0 .. K - 1: four columns each, of the
        user's side and the item's.
        """
        linear = self.linear
        toward = torch.from_numpy(np.stack([self.toward_item, self.toward_user], 1))
        products = [
            (torch.from_numpy(layer) @ toward.to(torch.from_numpy(layer).dtype)).numpy()
            for layer in linear.layers
        ]
        steps = range(linear.num_layers)
        plain = [
            sum(
                linear.coefficients[k] * products[k - 1 - t]
                for k in range(t + 1, linear.num_layers + 1)
            )
            for t in steps
        ]

        next_ = [
            sum(
                linear.coefficients[k] * products[k - t]
                for k in range(t + 1, linear.num_layers + 1)
            )
            for t in steps
        ]

        return [np.asarray(part, np.float64) for part in plain], [
            np.asarray(part, np.float64) for part in next_
        ]

    def edge_effects(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the first-order effect of each pair's weight on the score, both directions, other
        weights kept (docs/explanations.md, section 4).
        """
        plain, _ = self._sensitivity
        total = np.zeros(low.shape)

        for t, part in enumerate(plain):
            for column, pushed in enumerate((self.from_user[t], self.from_item[t])):
                total += pushed[low] * part[high, column] + pushed[high] * part[low, column]

        return np.asarray(total * self._pair_weight(low, high))

    @cached_property
    def _around(self) -> np.ndarray:
        """Per node, what its edges carry together to first order, over twice its degree: what one
        edge less gives back.
        """
        plain, next_ = self._sensitivity
        total = np.zeros(self.linear.num_nodes)

        for t, (part, further) in enumerate(zip(plain, next_, strict=True)):
            for column, pushed in enumerate((self.from_user, self.from_item)):
                total += pushed[t] * further[:, column] + pushed[t + 1] * part[:, column]

        return np.asarray(total / (2 * np.maximum(self.linear.degree, 1)))

    def removal_effects(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the first-order effect of taking each pair away, degrees recomputed: what the
        others gain is taken off.
        """
        return np.asarray(self.edge_effects(low, high) - self._around[low] - self._around[high])

    def _pair_weight(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        degree = np.maximum(self.linear.degree, 1)
        return np.asarray(1 / np.sqrt(degree[low] * degree[high].astype(np.float64)))

    def _neighbors(self, node: int) -> tuple[np.ndarray, np.ndarray]:
        matrix = self.linear.matrix
        part = slice(matrix.indptr[node], matrix.indptr[node + 1])
        return matrix.indices[part].astype(np.int64), matrix.data[part]

    def _weights_of(self, node: int) -> np.ndarray:
        """Return the weights of a node's edges, one place per node."""
        neighbors, weight = self._neighbors(node)
        found = np.zeros(self.linear.num_nodes)
        found[neighbors] = weight
        return found

    def scores(self, edits: Sequence[Edit], modes: Sequence[Mode] = ("delete",)) -> np.ndarray:
        """Return the scores under each edit, (modes, edits), exactly, from the edited nodes alone
        (docs/explanations.md, section 5).

        "delete" computes all degrees again, "mask" keeps the other weights. An added pair must join
        nodes that have edges.
        """
        return self.changed([self._change(edit) for edit in edits], modes)

    def _change(self, edit: Edit) -> Change:
        pairs = np.concatenate([edit.removed, edit.added])
        sign = np.repeat([1.0, -1.0], [len(edit.removed), len(edit.added)])
        rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
        lost = np.tile(sign, 2)
        a, b = (np.maximum(self.linear.degree[ends], 1.0) for ends in (rows, columns))
        return Change(rows, columns, lost / np.sqrt(a * b), rows, lost)

    def changed(self, changes: Sequence[Change], modes: Sequence[Mode]) -> np.ndarray:
        """Return the scores under each change, (modes, changes)."""
        ends = [self.user, self.item]
        touched = [
            np.unique(np.concatenate([ends, change.rows, change.columns])) for change in changes
        ]
        nodes = np.unique(np.concatenate([np.empty(0, np.int64), *touched]))
        powers = self._powers(nodes)
        out = np.empty((len(modes), len(changes)))

        for size in {len(part) for part in touched}:
            group = np.array([n for n, part in enumerate(touched) if len(part) == size])
            members = np.stack([touched[n] for n in group])
            at = np.searchsorted(nodes, members)
            gone = np.zeros((len(group), size, size))
            lost = np.zeros((len(group), size))

            for row, n in enumerate(group.tolist()):
                change = changes[n]
                a, b, end = (
                    np.searchsorted(members[row], some)
                    for some in (change.rows, change.columns, change.ends)
                )
                np.add.at(gone[row], (a, b), change.weights)
                np.add.at(lost[row], end, change.lost)

            near = [power[at[:, :, None], at[:, None, :]] for power in powers]
            for row, mode in enumerate(modes):
                fewer = lost if mode == "delete" else np.zeros_like(lost)
                out[row, group] = self._edited(members, gone, fewer, near)

        return out

    def _powers(self, nodes: np.ndarray) -> list[np.ndarray]:
        """Return (A^j)_xy of some nodes for j = 1 .. K: (A^(a+b))_xy = (row x of A^a) . (column y of
        A^b).
        """
        linear = self.linear
        pushed = self._rows_of_powers(linear.matrix, nodes)
        turned = pushed
        if linear.turned is not linear.matrix:
            turned = self._rows_of_powers(linear.turned, nodes)

        powers = []
        for j in range(1, self.linear.num_layers + 1):
            half = j // 2
            powers.append(
                (pushed[j - half - 1] @ turned[half - 1].T).toarray()
                if half
                else pushed[0][:, nodes].toarray()
            )

        return powers

    def _rows_of_powers(self, matrix: sp.csr_matrix, nodes: np.ndarray) -> list[sp.csr_matrix]:
        rows = [matrix[nodes]]
        for _ in range((self.linear.num_layers + 1) // 2 - 1):
            rows.append(rows[-1] @ matrix)

        return rows

    def _edited(
        self, nodes: np.ndarray, gone: np.ndarray, lost: np.ndarray, powers: list[np.ndarray]
    ) -> np.ndarray:
        """Return the scores of edits that touch equally many nodes.

        Args:
            nodes: (edits, touched), user and item among them.
            gone: (edits, touched, touched): what goes from the weights, D.
            lost: (edits, touched): what goes from the degrees.
            powers: (A^j)_xy on the touched nodes, j = 1 .. K.
        """
        linear = self.linear
        degree = linear.degree[nodes].astype(np.float64)
        left = degree - lost
        sigma = np.where(left > 0, np.sqrt(np.maximum(degree, 1) / np.maximum(left, 1)), 1.0)[
            :, :, None
        ]
        layer = linear.layers[0][nodes].astype(np.float64)  # L'_m, here m = 0
        z = linear.coefficients[0] * layer
        sent = sigma * layer  # W_m = S L'_m
        sources = [sent - layer]  # h_m

        for m in range(1, linear.num_layers + 1):
            received = linear.layers[m][nodes].astype(np.float64)
            for j in range(1, m + 1):
                received += powers[j - 1] @ sources[m - j]

            blocked = gone @ sent
            layer = sigma * (received - blocked)
            sent = sigma * layer
            sources.append(sent - received)
            z += linear.coefficients[m] * layer

        rows = np.arange(len(nodes))
        z_user = z[rows, np.argmax(nodes == self.user, 1)]
        z_item = z[rows, np.argmax(nodes == self.item, 1)]
        length = lengths(z_item) if linear.by_direction else 1.0
        return np.asarray(np.einsum("nd,nd->n", z_user, z_item) / length)
