"""Entity vectors from triples, for models that start from them."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.nn.kge import ComplExTables, TransDTables, TransETables, TransRTables, TripleTables
from kgrec.nn.losses import logistic
from kgrec.ops.csr import Csr
from kgrec.ops.optimizer import adam
from kgrec.ops.propagate import propagate


def translation_tables(
    kind: str, num_nodes: int, num_relations: int, dim: int, generator: torch.Generator
) -> TripleTables:
    """Return untrained tables of a kind: "transe" (L1, as in Fast-TransX), "transr", "transd", or
    "complex", of half as many complex coordinates (rounded up).
    """
    if kind == "complex":
        return ComplExTables(num_nodes, num_relations, -(-dim // 2), 0.1, generator)
    if kind == "transe":
        return TransETables(num_nodes, num_relations, dim, "l1", generator)
    if kind == "transr":
        return TransRTables(num_nodes, num_relations, dim, dim, generator)
    return TransDTables(num_nodes, num_relations, dim, generator)


def train_translation(
    tables: TripleTables,
    head: Int[Tensor, " edges"],
    relation: Int[Tensor, " edges"],
    tail: Int[Tensor, " edges"],
    *,
    epochs: int,
    generator: torch.Generator,
    batch_size: int = 1024,
    learning_rate: float = 0.02,
    margin: float | None = 1.0,
) -> None:
    """Train tables in place: true triples by a margin above the same with the head or the tail
    (even odds) drawn again.

        loss = mean of max(0, margin - score(h, r, t) + score(h', r, t'))

    Without a margin it is the log loss of telling the two apart (``kgrec.nn.losses.logistic``).

    Args:
        tables: What is trained.
        head: Heads.
        relation: Relations.
        tail: Tails.
        epochs: Passes over the triples.
        generator: On the CPU; draws order and corruptions, wherever the tables are.
        batch_size: Triples per step.
        learning_rate: Of Adam.
        margin: More than 0, or None.

    Source: Bordes et al., TransE, NIPS 2013, Eq. (1) and Algorithm 1; corruptions uniform and
    unfiltered, as there.
    """
    optimizer = adam(tables.parameters(), learning_rate)
    device = head.device

    for _ in range(epochs):
        order = torch.randperm(len(head), generator=generator)
        drawn = torch.randint(len(tables.nodes), (len(head),), generator=generator)
        by_head = torch.rand(len(head), generator=generator) < 0.5
        for rows, negative, corrupts_head in zip(
            *(
                torch.split(part.to(device), batch_size)
                for part in (order, drawn.unsqueeze(1), by_head)
            ),
            strict=True,
        ):
            triple = head[rows], relation[rows], tail[rows]
            optimizer.zero_grad(set_to_none=True)
            right, wrong = tables.score(*triple), tables.corrupted(*triple, negative, corrupts_head)
            if margin is None:
                torch.autograd.backward(logistic(right, wrong))
            else:
                torch.autograd.backward((margin - right + wrong.squeeze(1)).relu().mean())

            optimizer.step()
            tables.constrain()


def neighbor_mean(
    vectors: Float[Tensor, "entities dim"],
    head: Int[Tensor, " edges"],
    tail: Int[Tensor, " edges"],
    known: Bool[Tensor, " entities"],
) -> Float[Tensor, "entities dim"]:
    """Return the mean of the vectors of each entity's neighbors, whichever way the triple goes; 0
    for an entity without any.

    A neighbor counts once, however many triples join it; neighbors that are not ``known`` have no
    vector and are left out.

    Source: Wang et al., DKN, WWW 2018, Section 4.2 (context embedding).
    https://arxiv.org/abs/1801.08284
    """
    count = len(vectors)
    apart = head != tail
    pairs = torch.unique(
        torch.cat([head[apart] * count + tail[apart], tail[apart] * count + head[apart]])
    )
    graph, _ = Csr.from_edges(pairs // count, pairs % count, count)
    held = known.unsqueeze(1).to(vectors.dtype)
    sums = propagate(torch.cat([vectors * held, held], 1), graph, vectors.new_ones(graph.num_edges))
    return sums[:, :-1] / sums[:, -1:].clamp(min=1)
