"""What DKN knows of the entities that texts name, and the channels that this makes beside the
words.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.log import logger
from kgrec.nn.entity_channel import EntityChannel
from kgrec.nn.init import normal
from kgrec.nn.translation import neighbor_mean, train_translation, translation_tables

if TYPE_CHECKING:
    from kgrec.models.news.dkn import DKNConfig

_TRIPLES_AT_ONCE = 64  # least triples in a step
_TRIPLE_STEPS = 30  # most steps in an epoch


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


class EntityChannels(nn.ModuleDict):
    """The channels beside the words, by name: "entity", and "context", the means of the entities'
    neighbors.

    Args:
        knowledge: What is known of the entities.
        config: The configuration of DKN.
        word_dim: Size of the word vectors.
        generator: Draws the transforms, and vectors that are learned.

    Attributes:
        source: Where the vectors come from: "file", "transe", "transr", "transd", "learned", or
            "none".
    """

    def __init__(
        self,
        knowledge: EntityKnowledge,
        config: "DKNConfig",
        word_dim: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.knowledge = knowledge
        self.config = config
        self.source, kinds = _chosen(knowledge, config)
        given = knowledge.vectors if self.source == "file" else None

        for kind in kinds:
            self[kind] = EntityChannel(
                len(knowledge.mentioned),
                config.entity_dim if given is None else given.shape[1],
                word_dim,
                trained=config.train_entities or self.source == "learned",
                tanh=config.transform == "tanh",
                masked=config.mask,
                generator=generator,
            )

        if given is not None and knowledge.known is not None:
            self.put(torch.from_numpy(given), torch.from_numpy(knowledge.known))
        elif self.source == "learned":
            size = (knowledge.num_entities, config.entity_dim)
            self.put(normal(*size, scale=0.1, generator=generator), None)

    def train_vectors(self, seed: int, device: torch.device) -> None:
        """Train the vectors of all entities on the triples, and take those that are named."""
        knowledge = self.knowledge
        generator = torch.Generator().manual_seed(seed)
        sizes = (knowledge.num_entities, knowledge.num_relations, self.config.entity_dim)
        tables = translation_tables(self.source, *sizes, generator).to(device)
        triples = torch.from_numpy(knowledge.triples).to(device)

        with torch.enable_grad():
            train_translation(
                tables,
                *triples,
                epochs=self.config.kg_epochs,
                generator=generator,
                batch_size=max(_TRIPLES_AT_ONCE, triples.shape[1] // _TRIPLE_STEPS),
            )

        # what no triple says anything of has no vector
        known = torch.zeros(knowledge.num_entities, dtype=torch.bool, device=device)
        known[triples[[0, 2]].flatten()] = True
        self.put(tables.nodes.detach() * known.unsqueeze(1), known)

    def put(
        self, vectors: Float[Tensor, "entities dim"], known: Bool[Tensor, " entities"] | None
    ) -> None:
        """Set the channels' vectors from those of all entities; ``known`` says which have one, None
        that there are no contexts.
        """
        mentioned = torch.from_numpy(self.knowledge.mentioned).to(vectors.device)
        for kind, channel in self.items():
            assert isinstance(channel, EntityChannel)
            if kind == "context" and known is not None:
                head, _, tail = torch.from_numpy(self.knowledge.triples).to(vectors.device)
                channel.put(neighbor_mean(vectors, head, tail, known)[mentioned])
            else:
                channel.put(vectors[mentioned])


def _chosen(knowledge: EntityKnowledge, config: "DKNConfig") -> tuple[str, tuple[str, ...]]:
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
