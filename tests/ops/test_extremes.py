"""Every op on graphs at the edge of what a graph can be, against sums over the edges in double
precision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from kgrec.ops.backends import native
from kgrec.ops.contrast import softmax_rows
from kgrec.ops.csr import Csr, symmetric_weights
from kgrec.ops.dropout import dropout
from kgrec.ops.interaction import bi_interaction
from kgrec.ops.pairwise import bpr_rows
from kgrec.ops.propagate import poly, poly_rows, propagate, sddmm, segment_sum
from kgrec.ops.ranking import topk_masked
from kgrec.ops.relational import rel_project, rel_scores
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.ops.sampling import sample_negatives
from kgrec.ops.softmax import edge_softmax
from kgrec.ops.typed import TypedEdges, typed_sum

DIM = 8
SPOKES = 100_000
COEFFICIENTS = (0.5, 0.3, 0.2)
KEY = 0x123456789ABCDEF0


@dataclass(frozen=True)
class World:
    """A graph, and its edges in the order of the structure."""

    graph: Csr
    head: Tensor
    tail: Tensor
    kind: Tensor
    nodes: int
    relations: int

    def typed(self) -> TypedEdges:
        edges, order = TypedEdges.from_edges(
            self.head, self.tail, self.nodes, self.nodes, self.kind, self.relations
        )
        assert torch.equal(order, torch.arange(len(self.head)))
        return edges

    def sums(self, values: Tensor) -> Tensor:
        return values.new_zeros(self.nodes, *values.shape[1:]).index_add(0, self.head, values)

    def neighbors(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.sums(weight.unsqueeze(1) * x[self.tail])

    def symmetric(self, x: Tensor) -> Tensor:
        degree = torch.bincount(self.head, minlength=self.nodes).double()
        return self.neighbors(x, 1 / (degree[self.head] * degree[self.tail]).sqrt())

    def some(self) -> Tensor:
        """Distinct nodes: the first, the last, the one of most edges, and a few more."""
        most = int(torch.bincount(self.head, minlength=self.nodes).argmax())
        found = {0, self.nodes - 1, most, *range(0, self.nodes, 1 + self.nodes // 7)}
        return torch.tensor(sorted(found, reverse=True))

    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """The first edges as pairs, which are all the hub's; and some nodes with themselves.
        Negatives are any nodes.
        """
        own = self.some()
        user, positive = torch.cat([self.head[:4_000], own]), torch.cat([self.tail[:4_000], own])
        return (
            user,
            positive,
            torch.randint(self.nodes, (len(user),), generator=torch.Generator().manual_seed(0)),
        )


def facts_of(name: str) -> tuple[int, int, np.ndarray]:
    """Nodes, relations, and facts (head, relation, tail)."""
    spokes = np.arange(SPOKES)
    facts = {
        "one node": (1, 2, []),
        "no relation": (4, 0, []),
        "isolated nodes": (12, 1, [(2, 0, 5), (5, 0, 7), (2, 0, 7), (7, 0, 7)]),
        "parallel relations": (
            2,
            20,
            [(0, r, 1) for r in range(20)] + [(1, 3, 0), (0, 3, 1), (0, 3, 1)],
        ),
        "relations without edges": (9, 8, [(0, 1, 4), (3, 1, 4), (3, 6, 8), (8, 6, 0), (3, 1, 5)]),
        "untyped": (5, 1, [(0, 0, 1), (1, 0, 2), (0, 0, 3)]),
        "hub": (SPOKES + 10, 3, np.stack([np.full(SPOKES, 5), spokes % 2, spokes + 8], 1)),
    }
    nodes, relations, found = facts[name]
    return nodes, relations, np.array(found, dtype=np.int64).reshape(-1, 3)


WORLDS = [
    "one node",
    "no relation",
    "isolated nodes",
    "parallel relations",
    "relations without edges",
    "untyped",
    "hub",
]


@cache
def world(name: str) -> World:
    nodes, relations, facts = facts_of(name)
    head, tail = (
        np.concatenate([facts[:, 0], facts[:, 2]]),
        np.concatenate([facts[:, 2], facts[:, 0]]),
    )
    if name == "untyped":
        graph, order = Csr.from_edges(head, tail, nodes)
        kind = torch.zeros(len(head), dtype=torch.int64)
    else:
        both = np.concatenate([facts[:, 1], facts[:, 1] + relations])
        inverse = np.concatenate([np.arange(relations) + relations, np.arange(relations)])
        graph, order = Csr.from_edges(head, tail, nodes, relation=both, inverse=inverse)
        kind, relations = torch.from_numpy(both)[order], 2 * relations
    return World(
        graph, torch.from_numpy(head)[order], torch.from_numpy(tail)[order], kind, nodes, relations
    )


def pairwise(w: World, users: Tensor, items: Tensor, bias: Tensor) -> Tensor:
    user, positive, negative = w.pairs()
    u, p, n = users[user], items[positive], items[negative]
    margin = (u * (n - p)).sum(1) + bias[negative] - bias[positive]
    return (
        torch.log1p(margin.exp()).mean()
        + 0.05 * (u.square() + p.square() + n.square()).sum(1).mean()
    )


def interaction(
    w: World, ego: Tensor, near: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
) -> Tensor:
    parts = (ego + near) @ w1 + b1, (ego * near) @ w2 + b2
    return sum(torch.where(part > 0, part, 0.2 * part) for part in parts)


def kept(x: Tensor) -> Tensor:
    """Which values stay at a dropout of 0.3, as the formula has it, in numpy's wrapping
    integers.
    """

    def mix(word: np.ndarray) -> np.ndarray:
        word = (word ^ (word >> np.uint32(16))) * np.uint32(0x7FEB352D)
        word = (word ^ (word >> np.uint32(15))) * np.uint32(0x846CA68B)
        return word ^ (word >> np.uint32(16))

    place = np.arange(x.numel(), dtype=np.uint32)
    words = mix(mix(place ^ np.uint32(KEY & 0xFFFFFFFF)) + np.uint32(KEY >> 32))
    return torch.from_numpy(words >= np.uint32(round(0.3 * 2**32))).view(x.shape)


Shapes = list[tuple[int, ...]]


def per_node(w: World) -> Shapes:
    return [(w.nodes, DIM)]


def weighted(w: World) -> Shapes:
    return [(w.nodes, DIM), (len(w.head),)]


@dataclass(frozen=True)
class Op:
    """An op and the formula that it stands for: both take a world and tensors of these shapes.

    The last ``fixed`` of the tensors get no gradient.
    """

    ours: Callable[..., Tensor | tuple[Tensor, ...]]
    theirs: Callable[..., Tensor | tuple[Tensor, ...]]
    shapes: Callable[[World], Shapes] = per_node
    fixed: int = 0
    scale: float = 1.0


def polynomial(w: World, x: Tensor) -> Tensor:
    once = w.symmetric(x)
    return COEFFICIENTS[0] * x + COEFFICIENTS[1] * once + COEFFICIENTS[2] * w.symmetric(once)


def unit(w: World, x: Tensor) -> Tensor:
    return x / x.square().sum(1, keepdim=True).sqrt()


OPS = {
    "propagate": Op(lambda w, x, a: propagate(x, w.graph, a), World.neighbors, weighted),
    "propagate rows": Op(
        lambda w, x, a: propagate(x, w.graph, a, rows=w.some()),
        lambda w, x, a: w.neighbors(x, a)[w.some()],
        weighted,
        1,
    ),
    "poly": Op(lambda w, x: poly(x, w.graph, symmetric_weights(w.graph), COEFFICIENTS), polynomial),
    "poly rows": Op(
        lambda w, x: poly_rows(x, w.graph, symmetric_weights(w.graph), COEFFICIENTS, w.some()),
        lambda w, x: (polynomial(w, x)[w.some()], x[w.some()]),
    ),
    "segment sum": Op(
        lambda w, values: segment_sum(values, w.graph), World.sums, lambda w: [(len(w.head), DIM)]
    ),
    "edge softmax": Op(
        lambda w, score: edge_softmax(score, w.graph),
        lambda w, score: score.exp() / w.sums(score.exp())[w.head],
        lambda w: [(len(w.head),)],
    ),
    "typed sum": Op(
        lambda w, x, vectors, a: typed_sum(x, w.typed(), a, vectors),
        lambda w, x, vectors, a: w.sums(a.unsqueeze(1) * vectors[w.kind] * x[w.tail]),
        lambda w: [(w.nodes, DIM), (w.relations, DIM), (len(w.head),)],
        fixed=1,
    ),
    "typed sum without vectors": Op(
        lambda w, x, a: typed_sum(x, w.typed(), a), World.neighbors, weighted, fixed=1
    ),
    "rel project": Op(
        lambda w, x, matrices: rel_project(x, w.kind, matrices),
        lambda w, x, matrices: torch.einsum("bi,bio->bo", x, matrices[w.kind]),
        lambda w: [(len(w.head), DIM), (w.relations, DIM, 4)],
    ),
    "bpr rows": Op(
        lambda w, users, items, bias: bpr_rows(users, items, *w.pairs(), l2_weight=0.1, bias=bias),
        pairwise,
        lambda w: [(w.nodes, DIM), (w.nodes, DIM), (w.nodes,)],
    ),
    "softmax rows": Op(
        lambda w, users, items: softmax_rows(users, items, w.some()),
        lambda w, users, items: (
            -torch.log_softmax(users @ items.T, 1)[torch.arange(len(users)), w.some()].mean()
        ),
        lambda w: [(len(w.some()), 64), (w.nodes, 64)],
    ),
    "take rows": Op(lambda w, x: take_rows(x, w.head), lambda w, x: x[w.head]),
    "unit rows": Op(lambda w, x: unit_rows(x), unit),
    "short unit rows": Op(lambda w, x: unit_rows(x), unit, scale=1e-9),
    "bi-interaction": Op(
        lambda w, *parts: bi_interaction(*parts, 0.2),
        interaction,
        lambda w: [(w.nodes, 16), (w.nodes, 16), (16, 32), (1, 32), (16, 32), (1, 32)],
    ),
    "dropout": Op(
        lambda w, x: dropout(x, 0.3, KEY), lambda w, x: torch.where(kept(x), x / 0.7, 0.0)
    ),
}


@pytest.fixture(params=["native", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiled kernels, where they are there, and without."""
    if request.param == "torch":
        monkeypatch.setattr(native, "library", lambda: None)
    elif native.library() is None:
        pytest.skip("the compiled kernels were not built here (no C++ compiler)")


def assert_near(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    assert ours.dtype == torch.float32
    assert float((ours - theirs).detach().norm()) <= tolerance * float(theirs.detach().norm())


def as_tuple(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (result,) if isinstance(result, Tensor) else result


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("op", OPS)
def test_value_and_gradients(backend, op, name):
    case, w, draw = OPS[op], world(name), torch.Generator().manual_seed(0)
    tolerance = (
        1e-4 if name == "hub" and native.library() is None else 1e-5
    )  # torch's product adds a row up edge after edge
    parts = [case.scale * torch.randn(*shape, generator=draw) for shape in case.shapes(w)]
    exact = [part.double() for part in parts]
    free = slice(len(parts) - case.fixed)
    for part in (*parts[free], *exact[free]):
        part.requires_grad_()
    ours, theirs = as_tuple(case.ours(w, *parts)), as_tuple(case.theirs(w, *exact))
    for value, expected in zip(ours, theirs, strict=True):
        assert_near(value, expected, tolerance)
    upstream = [torch.randn(value.shape, generator=draw) for value in ours]
    found = torch.autograd.grad(ours, parts[free], upstream)
    wanted = torch.autograd.grad(theirs, exact[free], [part.double() for part in upstream])
    for gradient, expected in zip(found, wanted, strict=True):
        assert_near(gradient, expected, tolerance)


@pytest.mark.parametrize("name", WORLDS)
def test_products_of_edges(backend, name):
    w, draw = world(name), torch.Generator().manual_seed(0)
    a, b = (torch.randn(w.nodes, DIM, generator=draw) for _ in range(2))
    assert_near(sddmm(w.graph, a, b), (a.double()[w.head] * b.double()[w.tail]).sum(1))


@pytest.mark.parametrize("name", [name for name in WORLDS if name != "untyped"])
def test_scores_of_typed_edges(backend, name):
    w, draw = world(name), torch.Generator().manual_seed(0)
    x, matrices, vectors = (
        torch.randn(*shape, generator=draw)
        for shape in ((w.nodes, DIM), (w.relations, DIM, 4), (w.relations, 4))
    )
    e, m, r = x.double(), matrices.double()[w.kind], vectors.double()[w.kind]
    left, right = (torch.einsum("bi,bio->bo", e[ends], m) for ends in (w.head, w.tail))
    assert_near(rel_scores(x, matrices, vectors, w.graph), (right * torch.tanh(left + r)).sum(1))


def lists(*rows: np.ndarray | list[int]) -> tuple[Tensor, Tensor]:
    ptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return torch.from_numpy(ptr), torch.from_numpy(np.concatenate(rows).astype(np.int64))


EVERYTHING = np.arange(SPOKES)
SEEN = [
    (1, lists([], [0], [])),
    (5, lists([0, 1, 2, 3], [], [0, 1, 2, 3, 4], [2])),
    (SPOKES, lists([], EVERYTHING[:-3], EVERYTHING, EVERYTHING[1:], EVERYTHING[:1])),
]


@pytest.mark.parametrize(("items", "seen"), SEEN)
@pytest.mark.parametrize("k", [1, 20, 300])
def test_ranking_is_a_full_sort_up_to_ties(backend, items, seen, k):
    ptr, idx = seen
    draw = torch.Generator().manual_seed(k)
    users, catalog = (
        torch.randn(len(ptr) - 1, DIM, generator=draw),
        torch.randn(items, DIM, generator=draw),
    )
    exact = users.double() @ catalog.double().T
    for user, some in enumerate(torch.split(idx, ptr.diff().tolist())):
        exact[user, some] = -torch.inf
    scores, ids = topk_masked(users, catalog, k, ptr, idx)
    expected = torch.nn.functional.pad(
        exact.sort(1, descending=True).values[:, :k], (0, max(0, k - items)), value=-torch.inf
    )
    torch.testing.assert_close(scores.double(), expected, rtol=1e-5, atol=1e-5)
    listed = ids >= 0
    assert torch.equal(listed, expected > -torch.inf)
    for user, row in enumerate(ids):
        found = row[listed[user]]
        assert len(found.unique()) == len(found)
        torch.testing.assert_close(
            exact[user, found], expected[user][listed[user]], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(("items", "seen"), SEEN)
def test_negatives_are_what_is_free(backend, items, seen):
    ptr, idx = seen
    rows = torch.split(idx, ptr.diff().tolist())
    able = [user for user, row in enumerate(rows) if len(row) < items]
    users = torch.tensor(able).repeat(300)
    drawn = sample_negatives(users, ptr, idx, items, generator=torch.Generator().manual_seed(0))
    for user in able:
        found = set(drawn[users == user].tolist())
        free = set(range(items)) - set(rows[user].tolist())
        assert found <= free
        assert len(free) > 5 or found == free


@dataclass(frozen=True)
class Hubs:
    """Rows as long as one can be before it is cut, one edge longer, empty, next to each other, and
    last; and what kernels take.
    """

    ptr: Tensor
    row: Tensor
    idx: Tensor
    kind: Tensor
    weight: Tensor
    x: Tensor
    added: Tensor
    own: Tensor
    vectors: Tensor
    rows: Tensor
    place: Tensor
    added_place: Tensor

    @classmethod
    def draw(cls, dim: int) -> "Hubs":
        sizes, draw = (
            torch.tensor([3, 8_192, 8_193, 0, 40_000, 30_001, 7, 0, 1, 5, 9_216, 12_345]),
            torch.Generator().manual_seed(0),
        )
        nodes, edges, columns, kinds = len(sizes), int(sizes.sum()), 50, 6
        row = torch.repeat_interleave(torch.arange(nodes), sizes)
        kind = torch.sort(row * kinds + torch.randint(kinds, (edges,), generator=draw)).values
        return cls(
            torch.nn.functional.pad(sizes.cumsum(0), (1, 0)),
            row,
            torch.randint(columns, (edges,), dtype=torch.int32, generator=draw),
            kind % kinds,
            torch.randn(edges, generator=draw),
            *(torch.randn(size, dim, generator=draw) for size in (columns, nodes, nodes, kinds)),
            torch.tensor([11, 4, 3, 2]),
            (torch.randperm(columns, generator=draw).int() - 20).clamp(min=-1),
            torch.arange(nodes, dtype=torch.int32) - 1,
        )

    def sums(self, values: Tensor) -> Tensor:
        return values.new_zeros(len(self.added), *values.shape[1:]).index_add(0, self.row, values)


def by_kernels(h: Hubs) -> dict[str, Tensor]:
    dim, sums = h.x.shape[1], {}
    starts = (
        torch.cat([torch.ones(1, dtype=torch.bool), (h.row.diff() != 0) | (h.kind.diff() != 0)])
        .nonzero()
        .squeeze(1)
    )
    first = torch.searchsorted(starts, h.ptr)
    by = h.ptr, first, torch.cat([starts, h.ptr[-1:]]), h.kind[starts].int(), h.idx
    sums["typed"], sums["of relations"] = native.typed_sums(by, h.weight, h.x, h.vectors, h.own)
    return sums | {
        "all": native.spmm(
            h.ptr, h.idx, h.weight, h.x, torch.empty_like(h.added), h.added, 0.5, 2.0
        ),
        "rows": native.spmm(
            h.ptr,
            h.idx,
            h.weight,
            h.x,
            torch.empty(len(h.rows), dim),
            h.added,
            0.5,
            2.0,
            rows=h.rows,
        ),
        "places": native.spmm(
            h.ptr,
            h.idx,
            h.weight,
            h.x,
            torch.empty_like(h.added),
            h.added,
            x_place=h.place,
            added_place=h.added_place,
        ),
        "typed alone": native.typed_sum(by, h.weight, h.x, h.vectors),
        "products": native.sddmm(h.ptr, h.idx, h.own, h.x),
        "softmax": native.edge_softmax(h.ptr, h.weight),
    }


def by_edges(h: Hubs) -> dict[str, Tensor]:
    """The same in double precision."""
    x, added, own, vectors, weight = (
        part.double() for part in (h.x, h.added, h.own, h.vectors, h.weight)
    )
    carried = weight.unsqueeze(1) * x[h.idx]
    every = 2.0 * h.sums(carried) + 0.5 * added
    placed = torch.where((h.place >= 0).unsqueeze(1), x[h.place.clamp(min=0)], 0.0)
    shifted = torch.nn.functional.pad(added[:-1], (0, 0, 1, 0))
    typed = h.sums(vectors[h.kind] * carried)
    return {
        "all": every,
        "rows": every[h.rows],
        "places": h.sums(weight.unsqueeze(1) * placed[h.idx]) + shifted,
        "typed": typed,
        "typed alone": typed,
        "of relations": torch.zeros_like(vectors).index_add(0, h.kind, own[h.row] * carried),
        "products": (own[h.row] * x[h.idx]).sum(1),
        "softmax": weight.exp() / h.sums(weight.exp())[h.row],
    }


@pytest.mark.skipif(
    native.library() is None, reason="the compiled kernels were not built here (no C++ compiler)"
)
@pytest.mark.parametrize("dim", [1, 16, 100])
def test_rows_that_threads_share(monkeypatch, dim):
    """They are right, and have the same bits whatever the number of threads."""
    hubs = Hubs.draw(dim)
    expected = by_edges(hubs)
    alone = by_kernels(hubs)
    assert alone.keys() == expected.keys()
    for kernel, found in alone.items():
        assert_near(found, expected[kernel])
    for threads in (2, 3, 7, 64):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        for kernel, found in by_kernels(hubs).items():
            assert torch.equal(found, alone[kernel]), (kernel, threads)
