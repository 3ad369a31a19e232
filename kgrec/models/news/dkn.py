"""DKN: Deep Knowledge-Aware Network for News Recommendation. Wang et al., WWW 2018.

https://arxiv.org/abs/1801.08284
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.batches import ImpressionBatch, Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import concatenate
from kgrec.data.records.known import Known, with_interactions
from kgrec.data.texts.news_catalog import PADDING, UNKNOWN, NewsCatalog, vectors_of
from kgrec.errors import ConfigError
from kgrec.log import logger
from kgrec.models.base import Objective, Plan, Recommender
from kgrec.models.news.dkn_effects import DKNEffects
from kgrec.models.news.dkn_entities import EntityChannels, EntityKnowledge
from kgrec.models.news.dkn_presets import PRESETS as PRESETS
from kgrec.models.news.dkn_presets import SPACE as SPACE
from kgrec.models.sources import Shown
from kgrec.nn.block_scorer import fill_in_blocks
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import normal
from kgrec.nn.losses import half_squares, shown_logistic, shown_softmax
from kgrec.nn.text import KCNN, filled, latest, pairing
from kgrec.ops.rows import take_rows
from kgrec.random import derive

_NEWS_AT_ONCE = 4096
_NO_CLICKS = (np.zeros(1, np.int64), np.empty(0, np.int32))


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
            graph too; off in the authors' code, unless switched on.
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
        num_negatives: Items not clicked for each click, sampled again every epoch. Labeled data is
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


@dataclass(frozen=True, slots=True)
class NewsTables:
    """What each of some news contributes to attention and score; the last row is the empty history.

    Attributes:
        read: To the attention, as an item of the history.
        query: To the attention, as a candidate.
        interest: To the score, as an item of the history.
        offered: To the score, as a candidate.
    """

    read: Float[Tensor, "news _"]
    query: Float[Tensor, "news _"]
    interest: Float[Tensor, "news _"]
    offered: Float[Tensor, "news _"]


class DKN(Recommender):
    """Read titles with a convolution over words, entities and contexts; attend from each candidate
    to the history.

        e(t) = KCNN(words, g(entities), g(contexts))                                    Section 4.3
        s_k = softmax over the history of H(e(t_k) || e(candidate))                     Section 4.4
        e(u) = sum of s_k e(t_k),   P(click) = sigmoid(G(e(u) || e(candidate)))         Section 4.4

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
        clicks: What explanation takes for the history of a user: where each user's items start in
            the second array and the last ends, and item rows, oldest first.

    Source: Wang et al., DKN, WWW 2018. https://arxiv.org/abs/1801.08284
    """

    words: Tensor
    entities: Tensor
    click_ptr: Tensor
    clicks: Tensor
    folds_in = True

    def __init__(
        self,
        catalog: NewsCatalog,
        knowledge: EntityKnowledge,
        words: tuple[np.ndarray, np.ndarray] | None,
        config: DKNConfig,
        generator: torch.Generator,
        clicks: tuple[np.ndarray, np.ndarray] = _NO_CLICKS,
    ) -> None:
        super().__init__()
        self.config = config
        for name, values in zip(("click_ptr", "clicks"), clicks, strict=True):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

        self.num_items = len(catalog.words)
        self.register_buffer("words", _with_empty(catalog.words))
        self.register_buffer("entities", _with_empty(catalog.entities), persistent=False)
        self.word = nn.Parameter(_word_table(catalog, words, config.word_dim, generator))
        word_dim = self.word.shape[1]
        self.channels = EntityChannels(knowledge, config, word_dim, generator)
        widths = (config.filter_widths, config.num_filters)
        self.kcnn = KCNN(1 + len(self.channels), word_dim, *widths, generator)
        dim = self.kcnn.dim
        self.no_history = nn.Parameter(normal(dim, scale=0.1, generator=generator))
        self.attention = pairing(config.attention, dim, config.attention_dims, False, generator)
        self.click = pairing(config.scorer, dim, config.scorer_dims, True, generator)
        self.dropout = SeededDropout(config.dropout)

    @classmethod
    def from_dataset(cls, data: Dataset, config: DKNConfig, generator: torch.Generator) -> "DKN":
        """Take the texts, the entities they name, and what is known of words and entities."""
        lengths = {"longest": config.max_words, "min_count": config.min_count}
        catalog = NewsCatalog.from_dataset(data, **lengths)
        words = _given_words(data, catalog)
        knowledge = EntityKnowledge.from_dataset(data, catalog.mentioned)
        return cls(catalog, knowledge, words, config, generator, _clicks(data))

    def begin_epoch(self, epoch: int, seed: int) -> None:
        """Train the entity vectors before the first epoch, and give dropout its stream."""
        if epoch == 1 and self.channels.source.startswith("trans"):
            self.channels.train_vectors(derive(seed, "entity vectors"), self.word.device)
        self.dropout.reseed(derive(seed, "dropout", epoch))

    def encode(self, news: Int[Tensor, " news"]) -> Float[Tensor, "news dim"]:
        """Return the vectors of some items; row ``num_items`` is the empty text."""
        count = len(self.channels.knowledge.mentioned) + 1
        pairs = self.words[news] * count + self.entities[news]  # (news, words)
        distinct, texts = torch.unique(pairs, return_inverse=True)
        word = distinct // count
        entity = distinct % count
        responses = self.kcnn.responses(take_rows(self.word, word), 0)
        for at, channel in enumerate(self.channels.values(), start=1):
            responses = responses + self.kcnn.responses(channel(entity), at)

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
            history, mask = latest(history, mask, most)

        if self.config.mask:
            return history, mask

        return filled(history, mask, most, self.num_items)

    def logits(
        self,
        tables: NewsTables,
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
        candidates: Int[Tensor, "batch cand"],
    ) -> Float[Tensor, "batch cand"]:
        """Return log-odds of a click; histories and candidates are rows of the tables."""
        rows, weight = self.attended(tables, history, mask, candidates)
        interest = weight @ _rows(tables.interest, rows)  # (batch, cand, _): e(u), Section 4.4
        return self.click.pairs(interest, _rows(tables.offered, candidates))

    def attended(
        self,
        tables: NewsTables,
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
        candidates: Int[Tensor, "batch cand"],
    ) -> tuple[Int[Tensor, "batch _"], Float[Tensor, "batch cand _"]]:
        """Return the rows that are attended to, the vector of an empty history last, and how much
        each candidate attends to each.
        """
        no_history = history.new_full((len(history), 1), len(tables.read) - 1)
        rows = torch.cat([history, no_history], 1)
        allowed = mask.unsqueeze(1).expand(-1, candidates.shape[1], -1)  # (batch, cand, hist)
        if self.config.mask:
            allowed = allowed & (history.unsqueeze(1) != candidates.unsqueeze(2))

        # an empty history is read as one default item
        allowed = torch.cat([allowed, ~allowed.any(2, keepdim=True)], 2)  # (batch, cand, hist + 1)
        score = self.attention.all_pairs(_rows(tables.read, rows), _rows(tables.query, candidates))
        return rows, score.masked_fill(~allowed, -torch.inf).softmax(2)

    def loss(self, batch: ImpressionBatch) -> Float[Tensor, ""]:
        """Return the log loss over everything shown, or of each click among its negatives, and
        L2.
        """
        history, mask = self.histories(batch.history, batch.history_mask)
        shown = batch.candidates
        news, at = torch.unique(torch.cat([history.ravel(), shown.ravel()]), return_inverse=True)
        read, offered = at.split([history.numel(), shown.numel()])
        tables = self.tables(self.encode(news))
        logits = self.logits(tables, read.view(history.shape), mask, offered.view(shown.shape))
        loss = shown_softmax if self.config.loss == "softmax" else shown_logistic
        norms = half_squares(matrix for matrix in self.parameters() if matrix.ndim > 1)
        return loss(logits, batch.label, batch.mask) + self.config.l2_weight * norms

    def plan(self) -> Plan:
        """Return one objective over lists that were shown."""
        terms = None if self.config.loss == "softmax" else ImpressionBatch.num_shown
        source = Shown(self.config.num_negatives, self.config.max_history, grouped=terms is None)
        lists = Objective(ImpressionBatch, self.loss, None, self.config.loss, source, terms=terms)
        return Plan((lists,), begin_epoch=self.begin_epoch, parallel="data")

    def can_rank(self, data: Dataset) -> Known:
        """Return the users with clicks, and the items with a text."""
        items = np.zeros(data.num_items, dtype=bool)
        texts = data.content.texts
        if texts is not None:
            items = texts.is_not_null().to_numpy()
        return Known(with_interactions(data).users, items)

    def scorer(self) -> "NewsScorer":
        """Return all news vectors, and the networks that compare them."""
        every = torch.arange(self.num_items + 1, device=self.word.device)
        vectors = [self.encode(some) for some in torch.split(every, _NEWS_AT_ONCE)]
        return NewsScorer(self, self.tables(torch.cat(vectors)))

    def explanation_effects(self) -> DKNEffects:
        """Return a part per title read, and the scores of other histories."""
        return DKNEffects(self)


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
        model = self.model
        history, mask = model.histories(query.history, query.history_mask)

        if items is None:
            every = torch.arange(model.num_items, device=history.device)
            items = every.expand(len(history), -1)

        def score(rows: slice, columns: slice) -> Tensor:
            longest = int(mask[rows].sum(1).max())
            read = history[rows, :longest]
            return model.logits(self.tables, read, mask[rows, :longest], items[rows, columns])

        scores = self.tables.read.new_empty(items.shape)
        return fill_in_blocks(scores, score, (history.shape[1] + 1) * self.tables.read.shape[1])


def _rows(table: Tensor, rows: Tensor) -> Tensor:
    return take_rows(table, rows.flatten()).view(*rows.shape, -1)


def _given_words(data: Dataset, catalog: NewsCatalog) -> tuple[np.ndarray, np.ndarray] | None:
    """Return a vector per word and which words have one; None where the dataset has none."""
    given = data.content.words
    if given is None:
        return None
    return vectors_of(catalog.vocabulary, given)


def _with_empty(texts: np.ndarray) -> Tensor:
    """Return texts with one row more than items: an empty text, which is what a history is padded
    with where nothing is masked.
    """
    return torch.from_numpy(np.pad(texts, ((0, 1), (0, 0))))


def _clicks(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the histories that a run recommends by: where each user's starts, and items."""
    read = concatenate([data.train, data.valid])
    starts = np.searchsorted(read.user, np.arange(data.num_users + 1)).astype(np.int64)
    return starts, np.array(read.item)


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
