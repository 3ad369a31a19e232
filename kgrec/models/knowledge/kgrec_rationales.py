"""How KGRec scores rationales, and what it draws by them: Yang et al., KDD 2023.

https://arxiv.org/abs/2307.02759
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.symmetric import LikedGraph
from kgrec.graph.typed_mean import FactEdges
from kgrec.nn.contrast import ProjectionHead, check_view, drawn, gumbel
from kgrec.nn.dropout import SeededDropout
from kgrec.ops.propagate import propagate
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.ops.softmax import segment_softmax
from kgrec.ops.typed import typed_sum
from kgrec.random import derive


@dataclass(frozen=True)
class Step:
    """What a step has drawn.

    Attributes:
        there: Edges of triples that take part.
        used: What each interaction counts for, by fact: 0 if it takes no part, else the inverse of
            the share that does.
        masked: Edges that are hidden from the encoder and have to be reconstructed.
        view: Edges of the view that the contrast propagates over.
        liked: Weights of the view of interactions, one per directed edge.
    """

    there: Bool[Tensor, " edges"]
    used: Float[Tensor, " _"]
    masked: Bool[Tensor, " edges"]
    view: Bool[Tensor, " edges"]
    liked: Float[Tensor, " _"]


class Rationales(nn.Module):
    """Rationale scores, what is masked and left out by them, and the contrast of two views.

    Args:
        ckg: The graph, without facts about users.
        facts: Its triples, both ways.
        config: Hyper-parameters of KGRec.
        generator: Draws the projections' weights.
    """

    def __init__(
        self, ckg: CollaborativeKG, facts: FactEdges, config: Any, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.facts = facts
        self.config = config
        self.pairs = LikedGraph(ckg)
        self.heads = nn.ModuleList([ProjectionHead(config.dim, generator) for _ in range(2)])
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        """Start the draws of an epoch."""
        self._seed = seed
        self._steps = 0

    @torch.no_grad()
    def draw(self, logits: list[Float[Tensor, " edges"]]) -> Step:
        """Draw what a step masks and leaves out, by the logits f of each head."""
        self._steps += 1
        seed = derive(self._seed, "step", self._steps)
        count, device = self.facts.num_edges, logits[0].device
        stays = 1 - self.config.node_dropout
        there = drawn(stays, count, derive(seed, "edges"), device)
        check_view(there, count)
        scores = self.scores(torch.stack(logits).mean(0), there)
        noisy = scores + gumbel(count, derive(seed, "rationales"), device).to(scores.dtype)
        left = int(there.sum())
        masks = min(self.config.num_masked, left // 4)
        masked = torch.zeros_like(there)
        masked[noisy.where(there, -torch.inf).topk(masks).indices] = True
        chance = gumbel(count, derive(seed, "masked"), device)
        masked[chance.where(there, -torch.inf).topk(masks).indices] = True
        lowest = noisy.where(there, torch.inf).topk(int(self.config.drop * left), largest=False)
        view = there.clone()
        view[lowest.indices] = False

        used = drawn(stays, len(self.ckg.head), derive(seed, "interactions"), device)
        check_view(used[self.pairs.fact], len(self.pairs.fact) // 2)
        liked = self._liked(self.of_items(scores, there), used, derive(seed, "view"))
        return Step(there, used.to(scores.dtype) / stays, masked, view, liked)

    def scores(
        self, logits: Float[Tensor, " edges"], there: Bool[Tensor, " edges"]
    ) -> Float[Tensor, " edges"]:
        """Return w of the edges that there are, 1 in the mean over a head entity; 0 of others."""
        ptr = self.facts.edges.forward.ptr
        even = segment_softmax(torch.zeros_like(logits), ptr, there)  # 1 / edges of the head
        return torch.where(there, segment_softmax(logits, ptr, there) / even, 0.0)

    def of_items(
        self, scores: Float[Tensor, " edges"], there: Bool[Tensor, " edges"]
    ) -> Float[Tensor, " items"]:
        """Return the mean w of each item: half of it is that of the edges that it heads, which is
        1, half that of the edges that it is the tail of; 1 for one without any.
        """
        edges = self.facts.edges
        total, count = (
            torch.segment_reduce(
                values[edges.turned], "sum", offsets=edges.backward.ptr, unsafe=True
            )[: self.ckg.num_items]
            for values in (scores, there.to(scores.dtype))
        )
        return 0.5 + 0.5 * torch.where(count > 0, total / count.clamp(min=1), 1.0)

    def _liked(
        self, by_item: Float[Tensor, " items"], used: Bool[Tensor, " _"], key: int
    ) -> Float[Tensor, " edges"]:
        """Return the weights of the interactions that a view keeps, drawn without replacement by
        the softmax of their items' scores.
        """
        noise = gumbel(len(used), key, used.device)[self.pairs.fact]  # one for both directions
        there = used[self.pairs.fact]
        keeps = 1 - self.config.drop
        most = int(keeps * int(there.sum()) / 2)
        chosen = (by_item[self.pairs.item] + noise).where(there, -torch.inf).topk(2 * most).indices
        kept = torch.zeros_like(self.pairs.by_user)
        kept[chosen] = 1 / (keeps * (1 - self.config.node_dropout))
        return self.pairs.by_user * kept

    def contrast(
        self,
        entities: Float[Tensor, "entities dim"],
        users: Float[Tensor, "users dim"],
        relations: Float[Tensor, "relations dim"],
        step: Step,
        dropout: SeededDropout,
    ) -> Float[Tensor, ""]:
        """Return how little items are recognized across triples and interactions."""
        items = self.ckg.num_items
        edges, csr = self.facts.edges, self.pairs.csr
        e = of_facts = entities
        x = of_pairs = torch.cat([entities[:items], users])
        even = torch.zeros(self.facts.num_edges, dtype=e.dtype, device=e.device)
        mean = segment_softmax(even, edges.forward.ptr, step.view)
        for _ in range(self.config.num_layers):
            x = unit_rows(dropout(propagate(x, csr, step.liked, step.liked)))
            e = unit_rows(dropout(typed_sum(e, edges, mean, relations)))
            of_pairs = of_pairs + x
            of_facts = of_facts + e

        views = of_pairs[:items], of_facts[:items]
        a, b = (unit_rows(head(v)) for head, v in zip(self.heads, views, strict=True))
        other = gumbel(items, derive(self._seed, "others", self._steps), a.device).argsort()
        tau = self.config.contrast_temperature
        own = (a * b).sum(1)
        apart = [(first * take_rows(second, other)).sum(1) for first, second in ((a, b), (b, a))]
        logits = torch.stack([own, own, *apart], 1) / tau
        loss: Tensor = (logits.logsumexp(1) - own / tau).mean()
        return loss
