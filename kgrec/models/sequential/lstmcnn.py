"""A hybrid as textbooks have it: an LSTM over the history, a convolution over the texts of items,
and matrix factorization.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout, pad

from kgrec.batches import SequenceBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.data.texts.news_catalog import PADDING, NewsCatalog
from kgrec.errors import ConfigError
from kgrec.models.base import Objective, Plan, Preset, Span, Split
from kgrec.models.sequential.base import Catalog, SequenceConfig, SequenceRecommender, at_last
from kgrec.models.sequential.lstmcnn_blend import HeldOut
from kgrec.nn.dense import linear, start_from
from kgrec.nn.init import normal
from kgrec.nn.lookup import rows_at
from kgrec.nn.text import KCNN


@dataclass(frozen=True, slots=True)
class LSTMCNNConfig(SequenceConfig):
    """Hyper-parameters of the hybrid, beside those of ``SequenceConfig``.

    Attributes:
        hidden: Size of the hidden state of the LSTM.
        word_dim: Size of the word vectors.
        max_words: Words kept of each text, at least the widest filter.
        min_count: Occurrences in training texts from which a word is known.
        filter_widths: Words that the filters span.
        num_filters: Filters of each width.
        alpha: Share of matrix factorization in a score, in [0, 1].
        choose_alpha: Whether the share is chosen after each epoch instead, by the mean reciprocal
            rank of the validation part, where there is one.
    """

    hidden: int = 64
    word_dim: int = 64
    max_words: int = 16
    min_count: int = 2
    filter_widths: tuple[int, ...] = (1, 2, 3)
    num_filters: int = 32
    alpha: float = 0.5
    choose_alpha: bool = True

    def __post_init__(self) -> None:
        """Reject values out of range."""
        self.check("LSTMCNN")
        if min(self.hidden, self.word_dim, self.min_count, self.num_filters) < 1:
            raise ConfigError(
                "LSTMCNN needs hidden, word_dim, min_count and num_filters of at least 1."
            )
        if not 1 <= min(self.filter_widths, default=0) <= max(self.filter_widths) <= self.max_words:
            raise ConfigError(
                f"LSTMCNN: filter_widths {self.filter_widths} do not fit texts of "
                f"max_words={self.max_words}. Give 1 to {self.max_words}."
            )
        if not 0 <= self.alpha <= 1:
            raise ConfigError("LSTMCNN needs alpha in [0, 1].")


PRESETS = {
    "default": Preset(train={"learning_rate": 0.003, "batch_size": 64, "epochs": 100}),
    "paper": Preset(
        {"choose_alpha": False, "windows": False},
        {"learning_rate": 0.001, "batch_size": 128, "epochs": 50, "patience": 0},
    ),
    "fast": Preset(train={"learning_rate": 0.005, "batch_size": 64, "epochs": 20, "patience": 3}),
}

SPACE = {
    "dim": (32, 64, 128),
    "hidden": (32, 64, 128),
    "num_filters": (16, 32, 64),
    "dropout": Span(0.0, 0.6),
    "learning_rate": Span(5e-4, 1e-2, log=True),
}


class LSTMCNN(SequenceRecommender):
    """Blend factors of user and item with what an LSTM made of the history says of a text.

        h_u = W LSTM(x_(s_1), .., x_(s_n)),   c_i = V CNN(text of i)
        cf = p_u . q_i + b_i,   content = h_u . c_i
        score = alpha cf + (1 - alpha) content
        loss = - mean over next items of log softmax(cf) + log softmax(content)

    Both parts learn to predict the next item by themselves, so that their scores are log-odds, and
    the share alpha of each can be chosen afterwards. Items without interactions have content alone,
    people without an own vector have content and the items' biases.

    Differs from the paper: no paper has this network; LSTM, convolution (Kim, EMNLP 2014) and
    factorization are as in those named below, ConvMF's regression of factors on texts is not.

    Args:
        catalog: The items.
        num_users: Users.
        words: Word numbers of each item's text, right-padded with 0.
        num_words: Word numbers.
        config: Hyper-parameters.
        generator: Draws the initial parameters.
        held: What alpha is chosen by, or None.

    Source: Hochreiter and Schmidhuber, Long Short-Term Memory, Neural Computation 1997; Kim et al.,
    Convolutional Matrix Factorization, RecSys 2016; Koren et al., IEEE Computer 2009.
    """

    texts: Tensor
    alpha: Tensor

    def __init__(
        self,
        catalog: Catalog,
        num_users: int,
        words: np.ndarray,
        num_words: int,
        config: LSTMCNNConfig,
        generator: torch.Generator,
        held: HeldOut | None = None,
    ) -> None:
        super().__init__(catalog, config, generator)
        self.held = held
        self.register_buffer("texts", torch.from_numpy(words))
        self.register_buffer("alpha", torch.tensor(config.alpha))

        def table(count: int, size: int) -> nn.Parameter:
            return nn.Parameter(normal(count, size, scale=config.init_scale, generator=generator))

        self.users, self.factors = (
            table(count, config.dim) for count in (num_users, catalog.num_items)
        )  # p, q
        self.bias = nn.Parameter(torch.zeros(catalog.num_items, 1))
        self.lstm = nn.LSTM(config.dim, config.hidden, batch_first=True)
        start_from(self.lstm, generator)
        self.from_state = linear(config.hidden, config.dim, generator)  # W
        self.word = table(num_words, config.word_dim)
        sizes = config.filter_widths, config.num_filters
        self.cnn = KCNN(1, config.word_dim, *sizes, generator)
        self.from_text = linear(self.cnn.dim, config.dim, generator)  # V

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: LSTMCNNConfig, generator: torch.Generator
    ) -> "LSTMCNN":
        """Take the items, their texts, and the first validation item of some users."""
        longest, least = config.max_words, config.min_count
        news = NewsCatalog.from_dataset(data, longest=longest, min_count=least)
        catalog = Catalog.from_dataset(data, config)
        sizes = data.num_users, news.words, 2 + len(news.vocabulary)
        return cls(catalog, *sizes, config, generator, HeldOut.from_dataset(data))

    def content(self, items: Int[Tensor, " items"] | None = None) -> Float[Tensor, "items dim"]:
        """Return c of some items, or of all."""
        texts = self.texts if items is None else self.texts[items]
        responses = self.cnn.responses(self.word, 0)  # (places, words, filters)
        padding = torch.arange(len(self.word), device=texts.device) == PADDING
        responses = responses.masked_fill(padding.unsqueeze(1), -torch.inf)
        vectors: Tensor = self.from_text(self.cnn(responses, texts))
        return vectors

    def states(self, history: Int[Tensor, "batch hist"]) -> Float[Tensor, "batch hist dim"]:
        """Return h after each item of the histories."""
        hidden, _ = self.lstm(self.embedded(history))
        found: Tensor = self.from_state(dropout(hidden, self.config.dropout, self.training))
        return found

    def with_one(self, user: Int[Tensor, " batch"]) -> Float[Tensor, "batch _"]:
        """Return p with a 1 behind it, for the bias; p is 0 for someone unseen."""
        rows = rows_at(self.users, user.clamp(min=0), self.shard) * (user >= 0).unsqueeze(1)
        return pad(rows, (0, 1), value=1.0)

    def loss(self, batch: SequenceBatch) -> dict[str, Float[Tensor, ""]]:
        """Return the cross-entropy of each part by itself."""
        mask = batch.target_mask
        target = batch.target[mask]
        rows = self.with_one(batch.user).unsqueeze(1).expand(-1, mask.shape[1], -1)[mask]
        factors = torch.cat([self.factors, self.bias], 1)
        rows = dropout(rows, self.config.dropout, self.training)
        return {
            "cf": self.warm.softmax(rows, self.warm.of(factors), target),
            "content": self.warm.softmax(
                self.states(batch.history)[mask], self.content(self.warm.items), target
            ),
        }

    def encode(
        self,
        user: Int[Tensor, " batch"],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch _"]:
        """Return both parts' vectors of people, by their shares."""
        content = at_last(self.states(history), mask)
        return torch.cat([self.alpha * self.with_one(user), (1 - self.alpha) * content], 1)

    def outputs(self) -> Float[Tensor, "items _"]:
        """Return both parts' vectors of items; factors of items without interactions are 0."""
        warm = (self.warm.position >= 0).unsqueeze(1)
        return torch.cat([self.factors * warm, self.bias * warm, self.content()], 1)

    @torch.no_grad()
    def blend(self) -> None:
        """Choose alpha by the held-out people, where there are any."""
        if self.held is None or not self.config.choose_alpha:
            return

        self.eval()
        held = self.held.to(self.alpha.device)
        parts = []
        for share in (1.0, 0.0):
            self.alpha.fill_(share)
            parts.append(self.scorer()(held.query))

        self.alpha.fill_(held.best_share(*parts))
        self.train()

    def plan(self) -> Plan:
        """Return one objective over sequences, and what follows an epoch."""
        objective = Objective(
            SequenceBatch, self.loss, source=self.config.source, terms=SequenceBatch.num_targets
        )
        return Plan(
            (objective,),
            begin_epoch=self.begin_epoch,
            after_epoch=self.blend,
            parallel="data",
            split=Split((self.users,)),
        )

    def can_rank(self, data: Dataset) -> Known:
        """Return the users with interactions, and the items with some or with a text."""
        known = with_interactions(data)
        texts = data.content.texts
        if texts is None:
            return known
        return Known(known.users, known.items | texts.is_not_null().to_numpy())
