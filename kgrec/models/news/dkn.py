"""DKN: Deep Knowledge-Aware Network for News Recommendation. Wang et al., WWW 2018.

https://arxiv.org/abs/1801.08284
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad, softplus

from kgrec.batches import ImpressionBatch, Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import concatenate
from kgrec.data.records.known import Known, with_interactions
from kgrec.data.texts.news_catalog import PADDING, UNKNOWN, NewsCatalog, vectors_of
from kgrec.errors import ConfigError
from kgrec.log import logger
from kgrec.models.base import ImpressionSource, Objective, Plan, Preset, Recommender, Span
from kgrec.models.capabilities import ScoreParts
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform, normal
from kgrec.nn.text import KCNN, DotPairing, Pairing, PairNet
from kgrec.nn.translation import neighbor_mean, train_translation, translation_tables
from kgrec.ops.lists import last_of_lists
from kgrec.ops.rows import take_rows
from kgrec.queries import histories as queries
from kgrec.random import derive

_NEWS_AT_ONCE = 4096
_TRIPLES_AT_ONCE, _TRIPLE_STEPS = 64, 30  # least triples in a step, and most steps in an epoch
_POINTS = 256  # of integration, in ``DKN.parts``: the gradient jumps wherever a ReLU switches
_VALUES_AT_ONCE = 2**18  # of the attention network's first layer: what stays in the cache


@dataclass(frozen=True, slots=True)
class DKNConfig:
    """Hyper-parameters of DKN.

    Attributes:
        word_dim: Size of the word vectors where they are learned; word vectors of the dataset bring
            their own. 100 in the paper.
        entity_dim: Size of the entity vectors where they are trained here; vectors of the dataset
            bring their own. 100 in the paper.
        max_words: Words kept of each text, at least the widest filter; 10 in the authors' code.
        min_count: Occurrences in training texts from which a word without a given vector is known.
        filter_widths: Words that the filters span.
        num_filters: Filters of each width; 100 in the paper.
        use_entities: Whether words bring the vectors of the entities they name.
        use_context: Whether they bring the means of those entities' neighbors in the knowledge
            graph too; off in the authors' code, as long as nobody switches it on.
        entity_vectors: "file" takes the dataset's; "transe", "transr" and "transd" (the paper)
            train them on its triples before the first epoch; "learned" learns them with the rest;
            "auto" takes the first of file, transd, learned that the data allows (transd if a triple
            names one of the entities in the texts).
        train_entities: Whether entity and context vectors are moved by the clicks too, as in the
            authors' code.
        kg_epochs: Passes over the triples where entity vectors are trained on them.
        transform: What takes entity vectors into the space of words: "tanh" of an affine map, or a
            "linear" map.
        attention: Network H of the paper ("net"), or "dot" as in the authors' code.
        scorer: Network G of the paper ("net"), or "dot" as in the authors' code.
        attention_dims: Hidden layers of H.
        scorer_dims: Hidden layers of G.
        mask: Whether padded words and histories are left out and an item is no part of its own
            history; the public implementations do none of this.
        max_history: Most recent items read of a history.
        loss: "bce" on every item shown, as in the paper; "softmax" of a click among its negatives.
        num_negatives: Items not clicked for each click, sampled anew every epoch. Labelled data is
            taken as it is.
        dropout: Share of the values of news vectors dropped in training, in [0, 1).
        l2_weight: Weight of half the squared norms of all matrices, whole, per step; .01 in the
            authors' code.
    """

    word_dim: int = 64
    entity_dim: int = 64
    max_words: int = 16
    min_count: int = 2
    filter_widths: tuple[int, ...] = (1, 2, 3)
    num_filters: int = 64
    use_entities: bool = True
    use_context: bool = True
    entity_vectors: Literal["auto", "file", "transe", "transr", "transd", "learned"] = "auto"
    train_entities: bool = False
    kg_epochs: int = 30
    transform: Literal["tanh", "linear"] = "tanh"
    attention: Literal["net", "dot"] = "net"
    scorer: Literal["net", "dot"] = "net"
    attention_dims: tuple[int, ...] = (32,)
    scorer_dims: tuple[int, ...] = (64,)
    mask: bool = True
    max_history: int = 50
    loss: Literal["bce", "softmax"] = "bce"
    num_negatives: int = 4
    dropout: float = 0.2
    l2_weight: float = 1e-6

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if (
            min(
                self.word_dim,
                self.entity_dim,
                self.min_count,
                self.num_filters,
                self.kg_epochs,
                self.max_history,
                self.num_negatives,
            )
            < 1
        ):
            raise ConfigError(
                "DKN needs word_dim, entity_dim, min_count, num_filters, kg_epochs, max_history "
                "and num_negatives of at least 1."
            )
        if (
            not self.filter_widths
            or min(self.filter_widths) < 1
            or max(self.filter_widths) > self.max_words
        ):
            raise ConfigError(
                f"filter_widths {self.filter_widths} do not fit texts of "
                f"max_words={self.max_words}. Give 1 to {self.max_words}."
            )
        if min(self.attention_dims, default=0) < 1 or min(self.scorer_dims, default=0) < 1:
            raise ConfigError(
                "DKN needs at least one hidden layer in attention_dims and in scorer_dims, each "
                "of size 1 or more."
            )
        if not 0 <= self.dropout < 1 or self.l2_weight < 0:
            raise ConfigError("DKN needs a dropout in [0, 1) and l2_weight >= 0.")


_RECOMMENDERS = {
    "word_dim": 100,
    "max_words": 10,
    "num_filters": 100,
    "train_entities": False,
    "attention_dims": (100,),
    "scorer_dims": (300,),
    "mask": False,
    "dropout": 0.0,
    "l2_weight": 1e-6,
}
PRESETS = {
    "default": Preset(
        train={"epochs": 20, "batch_size": 512, "learning_rate": 2e-3, "patience": 4}
    ),
    "paper": Preset(
        config={
            "word_dim": 100,
            "entity_dim": 100,
            "max_words": 10,
            "filter_widths": (1, 2, 3, 4),
            "num_filters": 100,
            "attention_dims": (100,),
            "scorer_dims": (100,),
            "dropout": 0.0,
        },
        train={"epochs": 10, "patience": 0, "batch_size": 128, "learning_rate": 1e-3},
    ),
    "official": Preset(
        config={
            "word_dim": 50,
            "entity_dim": 50,
            "max_words": 10,
            "filter_widths": (1, 2),
            "num_filters": 128,
            "use_context": False,
            "entity_vectors": "transe",
            "train_entities": True,
            "attention": "dot",
            "scorer": "dot",
            "mask": False,
            "max_history": 30,
            "dropout": 0.0,
            "l2_weight": 0.01,
        },
        train={"epochs": 10, "patience": 0, "batch_size": 128, "learning_rate": 1e-3},
    ),
    "recommenders": Preset(
        config=_RECOMMENDERS,
        train={"epochs": 10, "patience": 0, "batch_size": 500, "learning_rate": 5e-4},
    ),
    "fast": Preset(
        config={"num_filters": 32, "filter_widths": (1, 2), "max_history": 20, "kg_epochs": 20},
        train={"epochs": 8, "batch_size": 512, "learning_rate": 4e-3, "patience": 2},
    ),
}

SPACE = {
    "learning_rate": Span(3e-4, 1e-2, log=True),
    "dropout": Span(0.0, 0.5),
    "l2_weight": Span(1e-7, 1e-4, log=True),
    "num_filters": (32, 64, 128),
    "attention": ("net", "dot"),
}


@dataclass(frozen=True, slots=True)
class EntityKnowledge:
    """What is known of the entities that texts name.

    Attributes:
        mentioned: Entity rows that are named, ascending, int64; entity number ``e`` of a text is
            ``mentioned[e - 1]``.
        triples: Heads, relations and tails, int64 (3, n), of entity and relation rows.
        num_entities: Entities of the knowledge graph.
        num_relations: Its relations.
        vectors: Given vectors, float32 (entities, dim), or None.
        known: Which entities have one, bool (entities,), or None.
    """

    mentioned: np.ndarray
    triples: np.ndarray
    num_entities: int
    num_relations: int
    vectors: np.ndarray | None = None
    known: np.ndarray | None = None

    @classmethod
    def from_dataset(cls, data: Dataset, mentioned: np.ndarray) -> "EntityKnowledge":
        """Take a dataset's triples and entity vectors."""
        triples = np.stack([data.triples.head, data.triples.relation, data.triples.tail]).astype(
            np.int64
        )
        given = data.content.entities
        if given is None:
            return cls(mentioned, triples, data.num_entities, data.num_relations)
        keys = data.triples.entities
        at = keys.match(given.keys)
        values = np.zeros((data.num_entities, given.values.shape[1]), dtype=np.float32)
        values[at[at >= 0]] = given.values[at >= 0]
        known = np.zeros(data.num_entities, dtype=bool)
        known[at[at >= 0]] = True
        return cls(mentioned, triples, data.num_entities, data.num_relations, values, known)

    def choose(self, wanted: str) -> str:
        """Return where entity vectors come from.

        Raises:
            ConfigError: If the data does not allow what is wanted.
        """
        if wanted == "auto":
            joined = np.isin(self.mentioned, self.triples[[0, 2]]).any()
            if self.vectors is not None:
                return "file"
            if joined:
                return "transd"
            return "learned"
        if wanted == "file" and self.vectors is None:
            raise ConfigError(
                'entity_vectors "file": the dataset has no entity vectors. Build it with --entity-vectors FILE.'
            )
        if wanted.startswith("trans") and not self.triples.shape[1]:
            raise ConfigError(
                f'entity_vectors "{wanted}": the dataset has no triples to train on. Build it with --kg FILE, or use "learned".'
            )
        return wanted


class EntityChannel(nn.Module):
    """One channel of vectors by entity number, taken into the space of words; number 0, no entity,
    is the zero vector before that.

        g(e) = tanh(M e + b)   or   g(e) = M e

    Args:
        rows: Entities.
        dim: Size of their vectors.
        word_dim: Size of the word vectors.
        trained: Whether the vectors are parameters.
        tanh: Which g.
        generator: Draws M; b starts at 0.

    Source: Wang et al., DKN, WWW 2018, Section 4.3.
    """

    vectors: Tensor

    def __init__(
        self,
        rows: int,
        dim: int,
        word_dim: int,
        *,
        trained: bool,
        tanh: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if trained:
            self.vectors = nn.Parameter(torch.zeros(rows + 1, dim))
        else:
            self.register_buffer("vectors", torch.zeros(rows + 1, dim))
        self.matrix = nn.Parameter(glorot_uniform(dim, word_dim, generator=generator))
        self.bias = nn.Parameter(torch.zeros(word_dim)) if tanh else None

    def put(self, vectors: Float[Tensor, "entities dim"]) -> None:
        """Set the vectors of all entities."""
        with torch.no_grad():
            self.vectors[1:] = vectors

    def forward(self, numbers: Int[Tensor, " entities"]) -> Float[Tensor, "entities din"]:
        """Return the transformed vectors of some entity numbers."""
        mapped = take_rows(self.vectors, numbers) @ self.matrix
        return mapped if self.bias is None else torch.tanh(mapped + self.bias)


@dataclass(frozen=True, slots=True)
class NewsTables:
    """What each of some news contributes to attention and score; the last row is the empty history.

    Attributes:
        read: To the attention, as an item of the history.
        asked: To the attention, as a candidate.
        interest: To the score, as an item of the history.
        offered: To the score, as a candidate.
    """

    read: Float[Tensor, "news _"]
    asked: Float[Tensor, "news _"]
    interest: Float[Tensor, "news _"]
    offered: Float[Tensor, "news _"]


class DKN(Recommender):
    """Read titles with a convolution over words, entities and contexts; attend from each candidate
    to the history.

        e(t) = KCNN(words, g(entities), g(contexts))
        Section 4.3 s_k = softmax over the history of H(e(t_k) || e(candidate)),   e(u) = sum of s_k
        e(t_k)   Section 4.4 P(click) = sigmoid(G(e(u) || e(candidate)))

    The context of an entity is the mean of its neighbors' vectors. Entity vectors come from the
    dataset, or are trained on its triples when training begins. An empty history is a learned
    vector.

    Differs from the paper: entity and context vectors have a transform each, as in both public
    implementations; words without a vector share one; dropout and L2 on all matrices; paddings are
    masked and an item is no part of its own history, where the paper says nothing. The preset
    "paper" trains TransD where the dataset brings no entity vectors. Not reproduced of the
    implementations: histories of 30 clicks drawn with replacement (the authors' code; here the last
    30), word vectors trained on the titles beforehand (here as given, or random ones), batch
    normalization and the sigmoid in the network G of the preset "recommenders".

    Args:
        catalog: The texts.
        knowledge: What is known of the entities in them.
        words: A vector per word of the vocabulary and which words have one, or None.
        config: Hyper-parameters.
        generator: Draws the initial parameters.
        clicks: What ``parts`` takes for the history of a user: where each user's items start in the
            second array and the last ends, and item rows, oldest first. Nobody has a history where
            None.

    Source: Wang et al., DKN, WWW 2018. https://arxiv.org/abs/1801.08284
    """

    words: Tensor
    entities: Tensor
    click_ptr: Tensor
    clicks: Tensor

    def __init__(
        self,
        catalog: NewsCatalog,
        knowledge: EntityKnowledge,
        words: tuple[np.ndarray, np.ndarray] | None,
        config: DKNConfig,
        generator: torch.Generator,
        clicks: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.knowledge = knowledge
        for name, values in zip(
            ("click_ptr", "clicks"),
            clicks or (np.zeros(1, np.int64), np.empty(0, np.int32)),
            strict=True,
        ):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)
        self.num_items = len(catalog.words)
        # One row more than items: an empty text, which is what a history is padded with where
        # nothing is masked.
        self.register_buffer("words", torch.from_numpy(np.pad(catalog.words, ((0, 1), (0, 0)))))
        self.register_buffer(
            "entities",
            torch.from_numpy(np.pad(catalog.entities, ((0, 1), (0, 0)))),
            persistent=False,
        )
        self.word = nn.Parameter(_word_table(catalog, words, config.word_dim, generator))
        self.source, kinds = _channels(knowledge, config)
        if self.source == "file":
            given = knowledge.vectors
        else:
            given = None
        self.channels = nn.ModuleDict()
        for kind in kinds:
            self.channels[kind] = EntityChannel(
                len(knowledge.mentioned),
                config.entity_dim if given is None else given.shape[1],
                self.word.shape[1],
                trained=config.train_entities or self.source == "learned",
                tanh=config.transform == "tanh",
                generator=generator,
            )
        if given is not None and knowledge.known is not None:
            self._put_entities(torch.from_numpy(given), torch.from_numpy(knowledge.known))
        elif self.source == "learned":
            self._put_entities(
                normal(knowledge.num_entities, config.entity_dim, scale=0.1, generator=generator),
                None,
            )
        self.kcnn = KCNN(
            1 + len(kinds), self.word.shape[1], config.filter_widths, config.num_filters, generator
        )
        self.no_history = nn.Parameter(normal(self.kcnn.dim, scale=0.1, generator=generator))
        self.attention = _pairing(
            config.attention, self.kcnn.dim, config.attention_dims, False, generator
        )
        self.click = _pairing(config.scorer, self.kcnn.dim, config.scorer_dims, True, generator)
        self.dropout = SeededDropout(config.dropout)

    @classmethod
    def from_dataset(cls, data: Dataset, config: DKNConfig, generator: torch.Generator) -> "DKN":
        """Take the texts, the entities they name, and what is known of words and entities."""
        catalog = NewsCatalog.from_dataset(
            data, longest=config.max_words, min_count=config.min_count
        )
        given = data.content.words
        if given is None:
            words = None
        else:
            words = vectors_of(catalog.vocabulary, given)
        known = concatenate([data.train, data.valid])  # what a run recommends by
        clicks = (
            np.searchsorted(known.user, np.arange(data.num_users + 1)).astype(np.int64),
            np.array(known.item),
        )
        return cls(
            catalog,
            EntityKnowledge.from_dataset(data, catalog.mentioned),
            words,
            config,
            generator,
            clicks,
        )

    def begin_epoch(self, epoch: int, seed: int) -> None:
        """Train the entity vectors before the first epoch, and give dropout its stream."""
        if epoch == 1 and self.source.startswith("trans"):
            self._train_entities(derive(seed, "entity vectors"))
        self.dropout.reseed(derive(seed, "dropout", epoch))

    def _train_entities(self, seed: int) -> None:
        known = self.knowledge
        config = self.config
        generator = torch.Generator().manual_seed(seed)
        tables = translation_tables(
            self.source, known.num_entities, known.num_relations, config.entity_dim, generator
        )
        triples = torch.from_numpy(known.triples).to(self.word.device)
        with torch.enable_grad():
            train_translation(
                tables.to(self.word.device),
                *triples,
                epochs=config.kg_epochs,
                generator=generator,
                batch_size=max(_TRIPLES_AT_ONCE, triples.shape[1] // _TRIPLE_STEPS),
            )
        held = torch.zeros(known.num_entities, dtype=torch.bool, device=self.word.device)
        held[triples[[0, 2]].flatten()] = True
        self._put_entities(
            tables.nodes.detach() * held.unsqueeze(1), held
        )  # what no triple says anything of has no vector

    def _put_entities(
        self, vectors: Float[Tensor, "entities dim"], known: Bool[Tensor, " entities"] | None
    ) -> None:
        """Set the channels' vectors from those of all entities; ``known`` says which have one, None
        that there are no contexts.
        """
        mentioned = torch.from_numpy(self.knowledge.mentioned).to(vectors.device)
        for kind, channel in self._each_channel():
            if kind == "context" and known is not None:
                head, _, tail = torch.from_numpy(self.knowledge.triples).to(vectors.device)
                channel.put(neighbor_mean(vectors, head, tail, known)[mentioned])
            else:
                channel.put(vectors[mentioned])

    def _each_channel(self) -> list[tuple[str, EntityChannel]]:
        return [
            (kind, channel)
            for kind, channel in self.channels.items()
            if isinstance(channel, EntityChannel)
        ]

    def encode(self, news: Int[Tensor, " news"]) -> Float[Tensor, "news dim"]:
        """Return the vectors of some items; row ``num_items`` is the empty text."""
        count = len(self.knowledge.mentioned) + 1
        distinct, texts = torch.unique(
            self.words[news] * count + self.entities[news], return_inverse=True
        )
        word = distinct // count
        entity = distinct % count
        responses = self.kcnn.responses(take_rows(self.word, word), 0)
        for at, (_, channel) in enumerate(self._each_channel(), start=1):
            named: Tensor = channel(entity)
            if self.config.mask:  # words that name nothing have nothing in these channels
                named = named * (entity != 0).unsqueeze(1).to(named.dtype)
            responses = responses + self.kcnn.responses(named, at)
        if self.config.mask:
            responses = responses.masked_fill((word == PADDING).unsqueeze(1), -torch.inf)
        vectors: Tensor = self.dropout(self.kcnn(responses, texts))
        return vectors

    def tables(self, news: Float[Tensor, "news dim"]) -> NewsTables:
        """Return both networks' view of news vectors; the vector of an empty history comes last."""
        vectors = torch.cat([news, self.no_history.unsqueeze(0)])
        return NewsTables(*self.attention.sides(vectors), *self.click.sides(vectors))

    def histories(
        self, history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"]
    ) -> tuple[Int[Tensor, "batch cand"], Bool[Tensor, "batch cand"]]:
        """Return the last ``max_history`` items of each history; where nothing is masked, padded to
        just so many with the empty text.
        """
        most = self.config.max_history
        if history.shape[1] > most or not self.config.mask:
            kept = mask & (mask.flip(1).cumsum(1).flip(1) <= most)
            order = torch.sort(~kept, dim=1, stable=True).indices[:, :most]
            history = history.gather(1, order)
            mask = kept.gather(1, order)
        if self.config.mask:
            return history, mask
        filled = pad(
            history.masked_fill(~mask, self.num_items),
            (0, most - history.shape[1]),
            value=self.num_items,
        )
        return filled, torch.ones_like(filled, dtype=torch.bool)

    def logits(
        self,
        tables: NewsTables,
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
        candidates: Int[Tensor, "batch cand"],
    ) -> Float[Tensor, "batch cand"]:
        """Return log-odds of a click; histories and candidates are rows of the tables."""
        rows, weight = self._attended(tables, history, mask, candidates)
        return self.click.pairs(
            weight @ _rows(tables.interest, rows), _rows(tables.offered, candidates)
        )

    def _attended(
        self, tables: NewsTables, history: Tensor, mask: Tensor, candidates: Tensor
    ) -> tuple[Int[Tensor, "batch cand"], Float[Tensor, "batch _ cand"]]:
        """Return the rows that are attended to, the vector of an empty history last, and how much
        each candidate attends to each.
        """
        nobody = history.new_full((len(history), 1), len(tables.read) - 1)
        rows = torch.cat([history, nobody], 1)
        allowed = mask.unsqueeze(1).expand(-1, candidates.shape[1], -1)
        if self.config.mask:
            allowed = allowed & (history.unsqueeze(1) != candidates.unsqueeze(2))
        allowed = torch.cat(
            [allowed, ~allowed.any(2, keepdim=True)], 2
        )  # an empty history is read as one default item
        score = self.attention.all_pairs(_rows(tables.read, rows), _rows(tables.asked, candidates))
        return rows, score.masked_fill(~allowed, -torch.inf).softmax(2)

    def loss(self, batch: ImpressionBatch) -> Float[Tensor, ""]:
        """Return the log loss over everything shown, or of each click among its negatives, and
        L2.
        """
        history, mask = self.histories(batch.history, batch.history_mask)
        shape = batch.candidates.shape
        news, at = torch.unique(
            torch.cat([history.flatten(), batch.candidates.flatten()]), return_inverse=True
        )
        read, shown = at.split([history.numel(), batch.candidates.numel()])
        logits = self.logits(
            self.tables(self.encode(news)), read.view(history.shape), mask, shown.view(shape)
        )
        return self._fit(logits, batch) + self.config.l2_weight * self._norms()

    def _fit(
        self, logits: Float[Tensor, "batch cand"], batch: ImpressionBatch
    ) -> Float[Tensor, ""]:
        shown = batch.mask.to(logits.dtype)
        if self.config.loss == "bce":
            return ((softplus(logits) - batch.label * logits) * shown).sum() / shown.sum()
        log_share = (
            logits.masked_fill(~batch.mask, -torch.inf).log_softmax(1).masked_fill(~batch.mask, 0.0)
        )
        return -(log_share * batch.label).sum() / batch.label.sum()

    def _norms(self) -> Float[Tensor, ""]:
        squares = [
            parameter.square().sum() for parameter in self.parameters() if parameter.ndim > 1
        ]
        return 0.5 * torch.stack(squares).sum()

    def plan(self) -> Plan:
        """Return one objective over lists that were shown."""
        config = self.config
        source = ImpressionSource(
            config.num_negatives, config.max_history, grouped=config.loss == "softmax"
        )
        objective = Objective(ImpressionBatch, self.loss, name=config.loss, impressions=source)
        return Plan((objective,), begin_epoch=self.begin_epoch)

    def can_rank(self, data: Dataset) -> Known:
        """Return the users with clicks, and the items with a text."""
        texts = data.content.texts
        if texts is None:
            items = np.zeros(data.num_items, dtype=bool)
        else:
            items = texts.is_not_null().to_numpy()
        return Known(with_interactions(data).users, items)

    def scorer(self) -> "NewsScorer":
        """Return all news vectors, and the networks that compare them."""
        every = torch.arange(self.num_items + 1, device=self.word.device)
        return NewsScorer(
            self,
            self.tables(
                torch.cat([self.encode(part) for part in torch.split(every, _NEWS_AT_ONCE)])
            ),
        )

    @torch.no_grad()
    def parts(self, user: int, item: int) -> ScoreParts:
        """Return one part per clicked title of the user (training and validation, as a run
        recommends), attention as it is.

        Where a dot product scores, a title's part is its attention times its product with the
        candidate. Else it is its integrated gradient on the way from no interest at all to the
        user's, what the candidate gets for nothing is a line in ``other``, and so is what the
        integration misses.
        """
        history, mask = last_of_lists(
            self.click_ptr, self.clicks, torch.tensor([user], device=self.clicks.device)
        )
        history, mask = self.histories(history, mask)
        news, at = torch.unique(
            torch.cat([history[0], history.new_tensor([item])]), return_inverse=True
        )
        tables = self.tables(self.encode(news))
        candidate = at[-1:].unsqueeze(0)
        rows, weight = self._attended(tables, at[:-1].unsqueeze(0), mask, candidate)
        nothing = self.click.sides(torch.zeros_like(self.no_history).unsqueeze(0))[
            0
        ]  # as an interest
        shares = weight[0, 0].unsqueeze(1) * (tables.interest[rows[0]] - nothing)  # (hist + 1, dim)
        offered = tables.offered[candidate[0]]
        values = (shares @ self._gradient(nothing, shares.sum(0), offered)).double().cpu()
        read = (weight[0, 0, :-1] > 0).cpu()
        items, place = torch.unique(history[0].cpu()[read], return_inverse=True)
        liked = values.new_zeros(len(items)).index_add_(0, place, values[:-1][read])
        if bool(weight[0, 0, -1] > 0):
            other = {"the empty history": float(values[-1])}
        else:
            other = {}
        # the text that unmasked histories are padded with
        if bool(len(items) and items[-1] == self.num_items):
            other["padding of the history"] = float(liked[-1])
            items = items[:-1]
            liked = liked[:-1]
        if not isinstance(self.click, DotPairing):
            alone, whole = self.click.pairs(
                torch.stack([nothing, nothing + shares.sum(0)]), offered.expand(2, 1, -1)
            ).double()[:, 0]
            other |= {
                "the title itself": float(alone),
                "missed by the integration": float(whole - alone - values.sum()),
            }
        return ScoreParts(
            0.0, items=items.numpy(), liked=liked.numpy(), other=other, basis="linearised"
        )

    def _gradient(self, start: Tensor, way: Tensor, offered: Tensor) -> Float[Tensor, " dim"]:
        """Return the mean gradient of the score by the interest, on the way from ``start``, by the
        middles of equal steps.
        """
        points = (torch.arange(_POINTS, dtype=way.dtype, device=way.device) + 0.5) / _POINTS
        with torch.enable_grad():
            interest = (start + points.unsqueeze(1) * way).unsqueeze(1).requires_grad_()
            (gradient,) = torch.autograd.grad(
                self.click.pairs(interest, offered.expand(_POINTS, 1, -1)).sum(), interest
            )
        return gradient[:, 0].mean(0)

    @torch.no_grad()
    def history_scores(
        self, user: int, histories: Sequence[Int[Tensor, " _"]]
    ) -> Float[Tensor, "batch items"]:
        """Return the scores of the catalog for someone who read each of these histories, oldest
        first.
        """
        scores: Tensor = self.scorer()(
            queries([own.tolist() for own in histories]).to(self.word.device)
        )
        return scores


@dataclass(frozen=True)
class NewsScorer:
    """Ranks by the history alone: known users and strangers alike. A user without one gets the
    vector of an empty history.

    Attributes:
        model: The networks.
        tables: What each item contributes to them.
    """

    model: DKN
    tables: NewsTables
    reads_history: ClassVar[bool] = True

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return log-odds of a click, in blocks whose intermediate values stay small."""
        history, mask = self.model.histories(query.history, query.history_mask)
        if items is None:
            items = torch.arange(self.model.num_items, device=history.device).expand(
                len(history), -1
            )
        scores = self.tables.read.new_empty(items.shape)
        per_pair = (history.shape[1] + 1) * self.tables.read.shape[1]
        width = max(1, min(items.shape[1], _VALUES_AT_ONCE // per_pair))
        height = max(1, _VALUES_AT_ONCE // (per_pair * width))
        for top in range(0, len(items), height):
            rows = slice(top, top + height)
            longest = int(mask[rows].sum(1).max())
            for left in range(0, items.shape[1], width):
                block = slice(left, left + width)
                scores[rows, block] = self.model.logits(
                    self.tables, history[rows, :longest], mask[rows, :longest], items[rows, block]
                )
        return scores


def _rows(table: Tensor, rows: Tensor) -> Tensor:
    return take_rows(table, rows.flatten()).view(*rows.shape, -1)


def _pairing(
    kind: str, dim: int, hidden: tuple[int, ...], bias: bool, generator: torch.Generator
) -> Pairing:
    if kind == "dot":
        return DotPairing()
    return PairNet(dim, hidden, bias, generator)


def _word_table(
    catalog: NewsCatalog,
    given: tuple[np.ndarray, np.ndarray] | None,
    dim: int,
    generator: torch.Generator,
) -> Tensor:
    """Return a vector per word number: given, or drawn where none is; the unknown word starts at
    0.
    """
    count = 2 + len(catalog.vocabulary)
    table = normal(
        count, dim if given is None else given[0].shape[1], scale=0.1, generator=generator
    )
    table[UNKNOWN] = 0.0
    if given is not None:
        vectors, known = (torch.from_numpy(part) for part in given)
        table[2:][known] = vectors[known].to(table.dtype)
        logger.info("dkn: %d of %d words have a given vector.", int(known.sum()), len(known))
    return table


def _channels(knowledge: EntityKnowledge, config: DKNConfig) -> tuple[str, tuple[str, ...]]:
    """Return where entity vectors come from, and the channels beside the words."""
    if not (config.use_entities or config.use_context) or not len(knowledge.mentioned):
        return "none", ()
    source = knowledge.choose(config.entity_vectors)
    if source == "file" and knowledge.known is not None:
        held = int(knowledge.known[knowledge.mentioned].sum())
        logger.info(
            "dkn: %d of %d entities in the texts have a given vector.",
            held,
            len(knowledge.mentioned),
        )
    context = config.use_context and source != "learned" and knowledge.triples.shape[1] > 0
    return source, ("entity",) * config.use_entities + ("context",) * context
