"""Knowledge-graph embeddings: vectors with their score functions (higher is more plausible), and
TransR energies (lower is).
"""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from kgrec.nn.init import normal
from kgrec.ops.relational import rel_project
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.scale.columns import WHOLE, Whole


def transr_energies(
    nodes: Float[Tensor, "nodes dim"],
    relations: Float[Tensor, "relations dout"],
    projections: Float[Tensor, "relations dim dout"],
    head: Int[Tensor, " batch"],
    relation: Int[Tensor, " batch"],
    tail: Int[Tensor, " batch"],
    negative_tail: Int[Tensor, " batch"],
    *,
    normalized: bool = False,
    shard: Whole = WHOLE,
) -> tuple[
    Float[Tensor, " batch"],
    Float[Tensor, " batch"],
    tuple[
        Float[Tensor, "batch dout"],
        Float[Tensor, "batch dout"],
        Float[Tensor, "batch dout"],
        Float[Tensor, "batch dout"],
    ],
]:
    """Return the energies of true and corrupted triples, and the projected rows (head, relation,
    tail, corrupted tail) for an L2 term.

        g(h, r, t) = |W_r e_h + e_r - W_r e_t|^2

    As in KGAT, Eq. (1); with ``normalized`` each of the three terms is made a unit vector first, as
    the KGAT authors do in CKE. The rows for the L2 term are never normalized. ``shard`` says which
    columns of the nodes these are, and which rows of the projections.

    Source: Lin et al., TransR, AAAI 2015, Eq. (8).
    """
    rows = torch.cat([head, tail, negative_tail])
    projected_rows = rel_project(take_rows(nodes, rows), relation.repeat(3), projections)
    h, t, n = shard.total(projected_rows).chunk(3)
    r = take_rows(relations, relation)
    projected = (h, r, t, n)  # (batch, dout) each
    if normalized:
        h, r, t, n = (unit_rows(part) for part in projected)

    moved = h + r
    return (moved - t).square().sum(1), (moved - n).square().sum(1), projected


class TripleTables(nn.Module, ABC):
    """Vectors of nodes and relations, and how plausible they make a triple.

    Every score is a likeness of two vectors in the space of the relation: what the known end and
    the relation ask for, and the other end as it is placed there. Higher is more plausible; an
    energy is a score with its sign turned.

    Attributes:
        nodes: One row per node; complex numbers are stored as all real parts, then all imaginary
            parts.
        relations: One row per relation, stored alike.
        function: Name of ``likeness`` among the functions of two vectors that make a score.
    """

    nodes: nn.Parameter
    relations: nn.Parameter
    function: str

    @abstractmethod
    def tail_query(
        self, head: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return where (head, relation) wants its tail."""

    @abstractmethod
    def head_query(
        self, relation: Int[Tensor, " batch"], tail: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return where (relation, tail) wants its head."""

    @abstractmethod
    def candidates(
        self, node: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return nodes as the relation places them."""

    @abstractmethod
    def likeness(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "batch cand dout"]
    ) -> Float[Tensor, "batch cand"]:
        """Return how near each row's candidates are to what it asks for."""

    @abstractmethod
    def table(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "cand dout"]
    ) -> Float[Tensor, "batch cand"]:
        """Return how near each of the same candidates is to each row, without a (batch, cand, dout)
        block.
        """

    @abstractmethod
    def against(
        self, query: Float[Tensor, "batch dout"], relation: Int[Tensor, " batch"], count: int
    ) -> Float[Tensor, "batch entities"]:
        """Return the score of each row with each of the first ``count`` nodes, placed by the row's
        relation.
        """

    @abstractmethod
    def constrain(self) -> None:
        """Put the vectors back under the paper's constraints, in place; after every step."""

    def score(
        self,
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tail: Int[Tensor, " batch"],
    ) -> Float[Tensor, " batch"]:
        """Return the score of each triple."""
        return self.likeness(
            self.tail_query(head, relation), self.candidates(tail, relation).unsqueeze(1)
        ).squeeze(1)

    def corrupted(
        self,
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tail: Int[Tensor, " batch"],
        negative: Int[Tensor, "batch cand"],
        corrupts_head: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of each triple with its head, or else its tail, replaced by each of its
        negatives.
        """
        by_head = corrupts_head.unsqueeze(1)
        query = torch.where(
            by_head, self.head_query(relation, tail), self.tail_query(head, relation)
        )
        candidates = self.candidates(
            negative.flatten(), relation.repeat_interleave(negative.shape[1])
        )
        return self.likeness(query, candidates.view(*negative.shape, -1))


def clip_rows_(table: Float[Tensor, "nodes dim"]) -> None:
    """Shorten the rows that are longer than 1 to length 1, in place; no gradient."""
    with torch.no_grad():
        table.div_(table.norm(dim=1, keepdim=True).clamp_(min=1.0))


def _squared(query: Tensor, candidates: Tensor) -> Tensor:
    """Return the squared distances of all pairs of rows by one matrix product; never below 0."""
    length = query.square().sum(1, keepdim=True) + candidates.square().sum(1)
    return torch.addmm(length, query, candidates.T, alpha=-2.0).clamp_(min=0.0)


def _uniform(rows: int, dim: int, bound: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(rows, dim, generator=generator) * 2 - 1) * bound


class TransETables(TripleTables):
    """Translation: a relation moves its heads to its tails.

        score(h, r, t) = -|h + r - t|,    in L1 or L2, with |e| = 1 for every entity

    Args:
        num_nodes: Nodes.
        num_relations: Relations.
        dim: Size of the vectors.
        norm: "l1" or "l2", not squared.
        generator: Draws the initial vectors, uniform in +-6 / sqrt(dim).

    Source: Bordes et al., TransE, NIPS 2013, Eq. (1) and Algorithm 1.
    """

    def __init__(
        self, num_nodes: int, num_relations: int, dim: int, norm: str, generator: torch.Generator
    ) -> None:
        super().__init__()
        bound = 6 / math.sqrt(dim)
        self.norm = norm
        self.function = f"negative_{norm}"
        self.nodes = nn.Parameter(normalize(_uniform(num_nodes, dim, bound, generator), dim=1))
        self.relations = nn.Parameter(
            normalize(_uniform(num_relations, dim, bound, generator), dim=1)
        )

    def tail_query(
        self, head: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return h + r."""
        return take_rows(self.nodes, head) + take_rows(self.relations, relation)

    def head_query(
        self, relation: Int[Tensor, " batch"], tail: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return t - r."""
        return take_rows(self.nodes, tail) - take_rows(self.relations, relation)

    def candidates(
        self, node: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return the vectors as they are."""
        return take_rows(self.nodes, node)

    def likeness(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "batch cand dout"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the distances, sign turned."""
        apart = query.unsqueeze(1) - candidates
        return -(
            apart.abs().sum(2) if self.norm == "l1" else torch.linalg.vector_norm(apart, dim=2)
        )

    def table(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "cand dout"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the distances, sign turned."""
        return -(
            torch.cdist(query, candidates, p=1.0)
            if self.norm == "l1"
            else _squared(query, candidates).sqrt_()
        )

    def against(
        self, query: Float[Tensor, "batch dout"], relation: Int[Tensor, " batch"], count: int
    ) -> Float[Tensor, "batch entities"]:
        """Return the scores with the first ``count`` nodes."""
        return self.table(query, self.nodes[:count])

    def constrain(self) -> None:
        """Give every entity length 1."""
        with torch.no_grad():
            self.nodes.copy_(normalize(self.nodes, dim=1))


class TransRTables(TripleTables):
    """Translation in a space of each relation's own.

        score(h, r, t) = -|M_r h + r - M_r t|^2,    |h|, |r|, |t| <= 1

    Args:
        num_nodes: Nodes.
        num_relations: Relations.
        dim: Size of the node vectors.
        relation_dim: Size of the relation vectors.
        generator: Draws the initial vectors; projections start as the identity, cut or padded with
            zeros.
        bound_relations: Whether relations too are held to length 1.

    Source: Lin et al., TransR, AAAI 2015, Eqs. (7)-(8).
    """

    function = "negative_squared_l2"

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        dim: int,
        relation_dim: int,
        generator: torch.Generator,
        *,
        bound_relations: bool = True,
    ) -> None:
        super().__init__()
        self.bound_relations = bound_relations
        self.nodes = nn.Parameter(
            normalize(torch.randn(num_nodes, dim, generator=generator), dim=1)
        )
        self.relations = nn.Parameter(
            normalize(torch.randn(num_relations, relation_dim, generator=generator), dim=1)
        )
        self.projections = nn.Parameter(
            torch.eye(dim, relation_dim).repeat(num_relations, 1, 1)
        )  # M_r, applied from the right

    def tail_query(
        self, head: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return M_r h + r."""
        return self.candidates(head, relation) + take_rows(self.relations, relation)

    def head_query(
        self, relation: Int[Tensor, " batch"], tail: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return M_r t - r."""
        return self.candidates(tail, relation) - take_rows(self.relations, relation)

    def candidates(
        self, node: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return M_r e, Eq. (7)."""
        return rel_project(take_rows(self.nodes, node), relation, self.projections)  # Eq. (7)

    def likeness(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "batch cand dout"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the squared distances, sign turned."""
        return -(query.unsqueeze(1) - candidates).square().sum(2)

    def table(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "cand dout"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the squared distances, sign turned."""
        return -_squared(query, candidates)

    def against(
        self, query: Float[Tensor, "batch dout"], relation: Int[Tensor, " batch"], count: int
    ) -> Float[Tensor, "batch entities"]:
        """Return the scores with the first ``count`` nodes, projected once per relation present."""
        scores = query.new_empty(len(query), count)
        for row in torch.unique(relation).tolist():
            of = relation == row
            scores[of] = self.table(query[of], self.nodes[:count] @ self.projections[row])
        return scores

    def constrain(self) -> None:
        """Shorten entities, and relations where they are bound, to length 1."""
        clip_rows_(self.nodes.data)
        if self.bound_relations:
            clip_rows_(self.relations.data)


class TransDTables(TripleTables):
    """Translation in a space that both the relation and the entity shape.

        e_r = e + (e_p . e) r_p,    score(h, r, t) = -|h_r + r - t_r|^2,    |h|, |r|, |t| <= 1

    Args:
        num_nodes: Nodes.
        num_relations: Relations.
        dim: Size of all vectors.
        generator: Draws the initial vectors; those of the projections start at a tenth of the
            others' length.
        bound_relations: Whether relations too are held to length 1.

    Source: Ji et al., TransD, ACL 2015, Eqs. (11)-(15), for entities and relations of one size.
    """

    function = "negative_squared_l2"

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        dim: int,
        generator: torch.Generator,
        *,
        bound_relations: bool = True,
    ) -> None:
        super().__init__()
        self.bound_relations = bound_relations

        def drawn(rows: int, length: float) -> nn.Parameter:
            return nn.Parameter(
                normalize(torch.randn(rows, dim, generator=generator), dim=1) * length
            )

        self.nodes = drawn(num_nodes, 1.0)
        self.relations = drawn(num_relations, 1.0)
        self.projecting_nodes, self.projecting_relations = (
            drawn(num_nodes, 0.1),
            drawn(num_relations, 0.1),
        )  # e_p, r_p

    def tail_query(
        self, head: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return h_r + r."""
        return self.candidates(head, relation) + take_rows(self.relations, relation)

    def head_query(
        self, relation: Int[Tensor, " batch"], tail: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return t_r - r."""
        return self.candidates(tail, relation) - take_rows(self.relations, relation)

    def candidates(
        self, node: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return e + (e_p . e) r_p."""
        entity = take_rows(self.nodes, node)
        along = (take_rows(self.projecting_nodes, node) * entity).sum(1, keepdim=True)
        return entity + along * take_rows(self.projecting_relations, relation)

    def likeness(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "batch cand dout"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the squared distances, sign turned."""
        return -(query.unsqueeze(1) - candidates).square().sum(2)

    def table(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "cand dout"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the squared distances, sign turned."""
        return -_squared(query, candidates)

    def against(
        self, query: Float[Tensor, "batch dout"], relation: Int[Tensor, " batch"], count: int
    ) -> Float[Tensor, "batch entities"]:
        """Return the scores with the first ``count`` nodes: |q - e - c r_p|^2 written out, with c =
        e_p . e.
        """
        entity = self.nodes[:count]
        by = take_rows(self.projecting_relations, relation)
        along = (self.projecting_nodes[:count] * entity).sum(1)
        across = (query * by).sum(1, keepdim=True) - by @ entity.T
        squared = _squared(query, entity) + along * (
            along * by.square().sum(1, keepdim=True) - 2 * across
        )
        return -squared.clamp_(min=0.0)

    def constrain(self) -> None:
        """Shorten entities, and relations where they are bound, to length 1."""
        clip_rows_(self.nodes.data)
        if self.bound_relations:
            clip_rows_(self.relations.data)


class DistMultTables(TripleTables):
    """A diagonal form: score(h, r, t) = sum of h * r * t. It cannot tell (h, r, t) from (t, r, h).

    Args:
        num_nodes: Nodes.
        num_relations: Relations.
        dim: Size of the vectors.
        scale: Standard deviation of the initial values.
        generator: Draws them.

    Source: Yang et al., DistMult, ICLR 2015, Section 3.1. https://arxiv.org/abs/1412.6575
    """

    function = "inner_product"

    def __init__(
        self, num_nodes: int, num_relations: int, dim: int, scale: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.nodes = nn.Parameter(normal(num_nodes, dim, scale=scale, generator=generator))
        self.relations = nn.Parameter(normal(num_relations, dim, scale=scale, generator=generator))

    def tail_query(
        self, head: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return h * r."""
        return take_rows(self.nodes, head) * take_rows(self.relations, relation)

    def head_query(
        self, relation: Int[Tensor, " batch"], tail: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return t * r."""
        return take_rows(self.nodes, tail) * take_rows(self.relations, relation)

    def candidates(
        self, node: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return the vectors as they are."""
        return take_rows(self.nodes, node)

    def likeness(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "batch cand dout"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the inner products."""
        return (query.unsqueeze(1) * candidates).sum(2)

    def table(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "cand dout"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the inner products."""
        return query @ candidates.T

    def against(
        self, query: Float[Tensor, "batch dout"], relation: Int[Tensor, " batch"], count: int
    ) -> Float[Tensor, "batch entities"]:
        """Return the scores with the first ``count`` nodes."""
        return self.table(query, self.nodes[:count])

    def constrain(self) -> None:
        """Leave the vectors as they are: a penalty holds them."""


class ComplExTables(DistMultTables):
    """DistMult over complex numbers: score(h, r, t) = Re sum of h * r * conj(t), which tells (h, r,
    t) from (t, r, h).

    Args:
        num_nodes: Nodes.
        num_relations: Relations.
        dim: Number of complex coordinates.
        scale: Standard deviation of the initial real and imaginary parts.
        generator: Draws them.

    Source: Trouillon et al., ComplEx, ICML 2016, Eqs. (9)-(11). https://arxiv.org/abs/1606.06357
    """

    def __init__(
        self, num_nodes: int, num_relations: int, dim: int, scale: float, generator: torch.Generator
    ) -> None:
        super().__init__(num_nodes, num_relations, 2 * dim, scale, generator)

    def tail_query(
        self, head: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return h * r."""
        return _times(take_rows(self.nodes, head), take_rows(self.relations, relation))

    def head_query(
        self, relation: Int[Tensor, " batch"], tail: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return t * conj(r)."""
        return _times(take_rows(self.nodes, tail), _conjugate(take_rows(self.relations, relation)))


def moduli(rows: Float[Tensor, "batch din"]) -> Float[Tensor, "batch dout"]:
    """Return the moduli of complex rows."""
    lengths: Tensor = torch.linalg.vector_norm(rows.view(len(rows), 2, -1), dim=1)
    return lengths


def _times(left: Tensor, right: Tensor) -> Tensor:
    """Return the coordinate-wise product of complex rows."""
    (a, b), (c, d) = left.chunk(2, 1), right.chunk(2, 1)
    return torch.cat([a * c - b * d, a * d + b * c], 1)


def _conjugate(rows: Tensor) -> Tensor:
    real, imaginary = rows.chunk(2, 1)
    return torch.cat([real, -imaginary], 1)


class RotatETables(TripleTables):
    """Rotation: score(h, r, t) = -sum over coordinates of |h r - t|, complex, with |r| = 1 in each.

    Args:
        num_nodes: Nodes.
        num_relations: Relations.
        dim: Number of complex coordinates of a node, and of angles of a relation.
        bound: Initial values of nodes and relations are uniform in +-bound; an angle is the
            relation's value times pi / bound.
        generator: Draws them.

    Source: Sun et al., RotatE, ICLR 2019, Eq. (4), and the authors' code for the scale of the
    angles. https://arxiv.org/abs/1902.10197
    """

    function = "negative_complex_l1"

    def __init__(
        self, num_nodes: int, num_relations: int, dim: int, bound: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.turn = math.pi / bound
        self.nodes = nn.Parameter(_uniform(num_nodes, 2 * dim, bound, generator))
        self.relations = nn.Parameter(_uniform(num_relations, dim, bound, generator))

    def tail_query(
        self, head: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return h * r."""
        return _times(take_rows(self.nodes, head), self._rotation(relation))

    def head_query(
        self, relation: Int[Tensor, " batch"], tail: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return t * conj(r)."""
        return _times(take_rows(self.nodes, tail), _conjugate(self._rotation(relation)))

    def _rotation(self, relation: Int[Tensor, " batch"]) -> Float[Tensor, "batch dout"]:
        angle = take_rows(self.relations, relation) * self.turn
        return torch.cat([torch.cos(angle), torch.sin(angle)], 1)

    def candidates(
        self, node: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return the vectors as they are."""
        return take_rows(self.nodes, node)

    def likeness(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "batch cand dout"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the sums of the moduli of the differences, sign turned."""
        apart = (query.unsqueeze(1) - candidates).view(*candidates.shape[:2], 2, -1)
        moduli: Tensor = torch.linalg.vector_norm(apart, dim=2)
        return -moduli.sum(2)

    def table(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "cand dout"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the same, one coordinate at a time."""
        real, imaginary = query.T.unsqueeze(2).chunk(2)  # (dim, batch, 1)
        to_real, to_imaginary = candidates.T.unsqueeze(1).chunk(2)
        total = query.new_zeros(len(query), len(candidates))
        for a, b, c, d in zip(real, imaginary, to_real, to_imaginary, strict=True):
            total -= (a - c).square_().add_((b - d).square_()).sqrt_()

        return total

    def against(
        self, query: Float[Tensor, "batch dout"], relation: Int[Tensor, " batch"], count: int
    ) -> Float[Tensor, "batch entities"]:
        """Return the scores with the first ``count`` nodes."""
        return self.table(query, self.nodes[:count])

    def constrain(self) -> None:
        """Leave the vectors as they are: a rotation has modulus 1 by its form."""
