"""CKE: Collaborative Knowledge Base Embedding for Recommender Systems. Zhang, Yuan, Lian, Xie and
Ma, KDD 2016.

https://doi.org/10.1145/2939672.2939673
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.batches import PairwiseBatch, PositiveBatch, TripleBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.models.base import (
    DotProduct,
    Objective,
    Plan,
    Preset,
    Recommender,
    Span,
    Split,
    ranking_objective,
)
from kgrec.models.knowledge.cke_contents import contents_of
from kgrec.models.knowledge.cke_effects import CKEEffects
from kgrec.models.sources import Triples
from kgrec.nn.autoencoder import DenoisingAutoEncoder
from kgrec.nn.init import glorot_uniform
from kgrec.nn.kge import transr_energies
from kgrec.nn.losses import l2, translation_ranking
from kgrec.nn.ranking_loss import CosineSoftmax, check_ranking_loss, ranked_items
from kgrec.ops.pairwise import bpr_rows
from kgrec.ops.rows import take_rows
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class CKEConfig:
    """Hyper-parameters of CKE.

    Attributes:
        dim: Embedding size d.
        relation_dim: Size k of the relation space.
        loss: "bpr" as in the paper; "softmax" contrasts each interaction by cosine with all items
            that have training interactions, and ranks by normalized item vectors.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        kg_weight: Weight of the triples' loss; 1 in the paper.
        cf_l2_weight: Weight of half the squared norms of the batch's users and items, divided by
            its size.
        kg_l2_weight: The same for projected entities, before they are normalized, and relations.
        item_prior: "offset" takes the norm of an item's own offset, as in the paper; "sum" that of
            its whole vector, as in the KGAT authors' code.
        zero_offsets: Whether items' own offsets start at zero, so that items without interactions
            are placed by the knowledge graph and their features alone; False starts them like the
            other tables.
        kg_sampling: "triple" draws triples uniformly; "head" draws heads uniformly, then one of
            their triples, as the KGAT authors' code.
        features: Whether items' feature vectors take part: "auto" where the dataset has them, "on",
            "off".
        text: The same for items' texts, as tf-idf of their words.
        text_words: Words of the vocabulary, those that most texts have.
        hidden_dims: Hidden layers between the input and the code of an auto-encoder.
        noise: Share of an auto-encoder's input values set to zero in training, in [0, 1).
        content_weight: Weight of the auto-encoders' reconstruction errors.
    """

    dim: int = 64
    relation_dim: int = 64
    loss: Literal["bpr", "softmax"] = "softmax"
    temperature: float = 0.2
    kg_weight: float = 1.0
    cf_l2_weight: float = 1e-4
    kg_l2_weight: float = 1e-5
    item_prior: Literal["offset", "sum"] = "offset"
    zero_offsets: bool = True
    kg_sampling: Literal["triple", "head"] = "triple"
    features: Literal["auto", "on", "off"] = "auto"
    text: Literal["auto", "on", "off"] = "off"
    text_words: int = 2000
    hidden_dims: tuple[int, ...] = (200,)
    noise: float = 0.3
    content_weight: float = 0.01

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if min(self.dim, self.relation_dim, self.text_words, *self.hidden_dims) < 1:
            raise ConfigError(
                "CKE needs dim, relation_dim, text_words and every one of hidden_dims to be at "
                "least 1."
            )

        check_ranking_loss("CKE", self.loss, self.temperature)
        if (
            min(self.kg_weight, self.cf_l2_weight, self.kg_l2_weight, self.content_weight) < 0
            or not 0 <= self.noise < 1
        ):
            raise ConfigError(
                "CKE needs kg_weight, cf_l2_weight, kg_l2_weight and content_weight >= 0, and "
                "noise in [0, 1)."
            )

        if self.item_prior not in ("offset", "sum") or self.kg_sampling not in ("triple", "head"):
            raise ConfigError(
                'CKE needs item_prior "offset" or "sum" and kg_sampling "triple" or "head".'
            )
        if not {self.features, self.text} <= {"auto", "on", "off"}:
            raise ConfigError('CKE needs features and text to be "auto", "on" or "off".')


_PUBLISHED_TRAINING = {
    "epochs": 1000,
    "patience": 0,
    "batch_size": 1024,
    "learning_rate": 1e-4,
    "sampler": "user_uniform",
}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "epochs": 100}),
    "paper": Preset(
        {"loss": "bpr", "zero_offsets": False, "text": "auto"},
        {**_PUBLISHED_TRAINING, "sampler": "interaction"},
    ),
    # The authors of KGAT add up the norms of a batch of 1,024; those of TransR they take of unit
    # vectors, which is a constant.
    "official": Preset(
        {
            "loss": "bpr",
            "item_prior": "sum",
            "zero_offsets": False,
            "kg_sampling": "head",
            "cf_l2_weight": 1e-5 * 1024,
            "kg_l2_weight": 0.0,
            "features": "off",
        },
        _PUBLISHED_TRAINING,
    ),
    "fast": Preset(train={"learning_rate": 0.02, "epochs": 20, "patience": 5}),
}
SPACE = {
    "learning_rate": Span(1e-3, 3e-2, log=True),
    "temperature": (0.1, 0.15, 0.2, 0.25, 0.3),
    "kg_weight": Span(1e-2, 10.0, log=True),
    "cf_l2_weight": Span(1e-6, 1e-1, log=True),
    "kg_l2_weight": Span(1e-7, 1e-2, log=True),
}


class CKE(Recommender):
    """Matrix factorization whose item vectors are an offset plus what the knowledge graph, features
    and texts say of the item.

        e_i = q_i + v_i + x_i + z_i,   score(u, i) = p_u . e_i
        v of TransR:  g(h, r, t) = |norm(v_h W_r) + norm(r) - norm(v_t W_r)|^2
        x, z:         codes of denoising auto-encoders over the words of the item's text and over
                      its features
        loss = mean softplus(-(score(u, i) - score(u, j)))
               + mean softplus(g(h, r, t) - g(h, r, t')) + reconstruction + L2

    All parts are trained in every step under one optimizer. ``t'`` is drawn among all entities.

    Differs from the paper: rows are normalized in the energy, as in the KGAT authors' code;
    features are vectors, so that images come as features some network has made of them, and the
    convolutional auto-encoder becomes a plain one; features are scaled to [0, 1] by column, and
    codes are shifted by 1/2, which shifts all scores of a user alike; Adam instead of SGD; L2 on
    the rows of the batch instead of priors on all parameters; the "softmax" loss is an addition.
    The preset "official" is the baseline in the KGAT authors' code, whose logarithm is cut off at
    1e-10.

    Args:
        ckg: Graph with triples.
        contents: Per part ("features", "text") one row per item, values in [0, 1].
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Zhang et al., Collaborative Knowledge Base Embedding, KDD 2016.
    https://doi.org/10.1145/2939672.2939673
    """

    scores_read_graph = False
    folds_in = True

    def __init__(
        self,
        ckg: CollaborativeKG,
        contents: dict[str, Tensor],
        config: CKEConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        d, k = config.dim, config.relation_dim
        relations = ckg.num_relations - 1
        self.users = nn.Parameter(glorot_uniform(ckg.num_users, d, generator=generator))  # p_u
        offsets = glorot_uniform(ckg.num_items, d, generator=generator)
        warm, position = ckg.warm_items()
        # no step moves these: a cold item is placed by what is known of it alone
        offsets[position < 0] = 0.0
        if config.zero_offsets:
            offsets = torch.zeros_like(offsets)

        self.items = nn.Parameter(offsets)  # q_i
        entities = glorot_uniform(ckg.num_entities, 1, d, generator=generator)
        self.entities = nn.Parameter(entities.squeeze(1))  # v
        self.relations = nn.Parameter(glorot_uniform(relations, k, generator=generator))  # r
        self.projections = nn.Parameter(glorot_uniform(relations, d, k, generator=generator))  # W_r
        self.encoders = nn.ModuleDict()

        for name, rows in contents.items():
            self.register_buffer(f"{name}_input", rows, persistent=False)
            sizes = (rows.shape[1], *config.hidden_dims, d)
            self.encoders[name] = DenoisingAutoEncoder(sizes, config.noise, generator)

        self.contrast = CosineSoftmax(warm, position, config.temperature)

    @classmethod
    def from_dataset(cls, data: Dataset, config: CKEConfig, generator: torch.Generator) -> "CKE":
        """Take interactions, triples, and the contents that the configuration asks for."""
        return cls(CollaborativeKG.from_dataset(data), contents_of(data, config), config, generator)

    def vectors(
        self, rows: Int[Tensor, " cand"]
    ) -> tuple[Float[Tensor, "cand dim"], Float[Tensor, ""]]:
        """Return the vectors e_i of some items, and the auto-encoders' reconstruction error on
        them.
        """
        vectors = take_rows(self.items, rows) + take_rows(self.entities, rows)  # q_i + v_i
        error = vectors.new_zeros(())

        for name in self.encoders:
            code, part = self.code(name, rows)
            vectors = vectors + self.shard.part(code) - 0.5  # + x_i, + z_i
            error = error + part

        return vectors, error

    def code(
        self, name: str, rows: Int[Tensor, " cand"]
    ) -> tuple[Float[Tensor, "cand dim"], Float[Tensor, ""]]:
        """Return the codes of some items' "features" or "text", and the reconstruction error."""
        found: tuple[Tensor, Tensor] = self.encoders[name](self.get_buffer(f"{name}_input")[rows])
        return found

    def bpr_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR with L2 and reconstruction on the rows of the batch."""
        both = torch.cat([batch.positive, batch.negative])
        distinct, at, times = torch.unique(both, return_inverse=True, return_counts=True)
        vectors, error = self.vectors(distinct)  # (distinct items of the batch, dim)
        weight = self.config.cf_l2_weight
        on_offset = self.config.item_prior == "offset"
        loss = bpr_rows(
            *(self.users, vectors, batch.user, *at.chunk(2)),
            l2_weight=weight,
            item_l2_weight=0.0 if on_offset else weight,
            total=self.shard.sums,
        )

        if on_offset:
            squares = (times * take_rows(self.items, distinct).square().sum(1)).sum()
            loss = loss + weight * self.shard.total(squares) / (2 * len(batch.user))

        return loss + self.config.content_weight * error

    def softmax_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the cosine softmax over all items that have training interactions, with L2 and
        reconstruction.
        """
        vectors, error = self.vectors(self.contrast.items)  # (warm items, dim)
        user = take_rows(self.users, batch.user)

        if self.config.item_prior == "offset":
            prior = take_rows(self.items, batch.positive)
        else:
            prior = take_rows(vectors, self.contrast.position[batch.positive])

        loss: Tensor = self.contrast(user, vectors, batch.positive, self.shard)
        l2_loss = self.config.cf_l2_weight * self.shard.total(l2(user, prior))
        return loss + l2_loss + self.config.content_weight * error

    def energies(
        self,
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tail: Int[Tensor, " batch"],
        negative_tail: Int[Tensor, " batch"],
    ) -> tuple[
        Float[Tensor, " batch"], Float[Tensor, " batch"], tuple[Float[Tensor, "batch dout"], ...]
    ]:
        """Return g of triples and of triples with other tails, and the projected rows."""
        tables = self.entities, self.relations, self.projections
        triples = head, relation, tail, negative_tail
        return transr_energies(*tables, *triples, normalized=True, shard=self.shard)

    def kg_loss(self, batch: TripleBatch) -> Float[Tensor, ""]:
        """Return TransR ranking of true against corrupted tails, with L2 on the projected rows."""
        true, corrupted, projected = self.energies(
            batch.head, batch.relation, batch.tail, batch.negative_tail
        )
        loss = self.config.kg_weight * translation_ranking(true, corrupted)
        return loss + self.config.kg_l2_weight * l2(*projected)

    def plan(self) -> Plan:
        """Return interactions and triples, trained in one step; interactions alone where there are
        no triples.
        """
        first = ranking_objective(self.config.loss, self.bpr_loss, self.softmax_loss)
        objectives: tuple[Objective[Any], ...] = (first,)
        if (self.ckg.fact >= 0).any():
            triples = _triple_source(self.ckg, by_head=self.config.kg_sampling == "head")
            objectives += (Objective(TripleBatch, self.kg_loss, name="transr", source=triples),)

        plan = Plan(objectives, joint=True, begin_epoch=self._reseed)
        return plan.by_columns(Split((self.users, self.items, self.entities, self.projections)))

    def _reseed(self, epoch: int, seed: int) -> None:
        for name, encoder in self.encoders.items():
            if isinstance(encoder, DenoisingAutoEncoder):
                encoder.reseed(derive(seed, f"noise on {name}", epoch))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users with interactions, and the items that the graph, features or texts tell
        something about.
        """
        items = reached(self.ckg).items
        for name in self.encoders:
            items = items | (self.get_buffer(f"{name}_input") != 0).any(1).cpu().numpy()

        return Known(with_interactions(data).users, items)

    def scorer(self) -> DotProduct:
        """Return users and items; items as unit vectors where they were trained by cosine."""
        items, _ = self.vectors(torch.arange(self.ckg.num_items, device=self.users.device))
        return DotProduct(self.users.detach(), ranked_items(items, self.config.loss))

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by; of entities and relations what TransR
        learned.
        """
        ranked = self.scorer()
        vectors = {"users": ranked.users, "items": ranked.items}
        return {**vectors, "entities": self.entities, "relations": self.relations}

    def explanation_effects(self) -> CKEEffects:
        """Return the pieces of the item's vector, and how plausible facts are by TransR."""
        return CKEEffects(self)


def _triple_source(ckg: CollaborativeKG, *, by_head: bool) -> Triples:
    """Return what the triples' loss draws from: triples of the knowledge graph, one way, relations
    counted without ``interacts``.
    """
    facts = np.nonzero(ckg.fact >= 0)[0]
    head, relation, tail = (
        torch.from_numpy(column[facts]) for column in (ckg.head, ckg.relation - 1, ckg.tail)
    )

    return Triples(
        head,
        relation,
        tail,
        num_tails=ckg.num_entities,
        by_head=by_head,
        num_triples=len(facts),
        num_interactions=int((ckg.relation == 0).sum()),
    )
