"""Constructed data whose right answer is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.records.content import Content, Impressions
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.triples import Triples, empty_triples
from kgrec.data.records.vocabulary import Vocabulary


def dataset(
    train,
    valid=(),
    test=(),
    triples=(),
    *,
    num_users=None,
    num_items=None,
    num_entities=None,
    num_relations=None,
) -> Dataset:
    """Return a dataset from lists of (user, item) and (head, relation, tail) row numbers."""
    parts = [np.array(list(part), dtype=np.int64).reshape(-1, 2) for part in (train, valid, test)]
    pairs = np.concatenate(parts)
    users = num_users or int(pairs[:, 0].max()) + 1
    items = num_items or int(pairs[:, 1].max()) + 1
    facts = np.array(list(triples), dtype=np.int64).reshape(-1, 3)
    entities = num_entities or max(items, int(facts[:, [0, 2]].max()) + 1 if len(facts) else 0)
    relations = num_relations or (int(facts[:, 1].max()) + 1 if len(facts) else 0)

    return Dataset(
        name="world",
        users=Vocabulary([f"u{row}" for row in range(users)], kind="user"),
        items=Vocabulary([f"i{row}" for row in range(items)], kind="item"),
        triples=knowledge(
            facts,
            [*(f"i{row}" for row in range(items)), *(f"e{row}" for row in range(items, entities))],
            relations,
        ),
        train=_interactions(parts[0]),
        valid=_interactions(parts[1]),
        test=_interactions(parts[2]),
    )


def knowledge(facts: np.ndarray, entities: list[str], num_relations: int) -> Triples:
    """Return triples over named entities and relations r0, r1, ..."""
    empty = empty_triples(Vocabulary(entities))
    columns = [np.ascontiguousarray(column, dtype=np.int32) for column in facts.T]

    return Triples(
        empty.entities,
        Vocabulary([f"r{row}" for row in range(num_relations)], kind="relation"),
        *columns,
        source=np.zeros(len(facts), dtype=np.uint16),
        locator=np.arange(1, len(facts) + 1),
        sources=("world",),
        labels=empty.labels,
        relation_labels=pl.Series("label", [None] * num_relations, dtype=pl.String),
    )


def _interactions(pairs: np.ndarray) -> Interactions:
    order = np.lexsort((np.arange(len(pairs)), pairs[:, 0]))
    return Interactions(pairs[order, 0].astype(np.int32), pairs[order, 1].astype(np.int32))


def toy() -> Dataset:
    """Return the toy graph of docs/metrics.md, section 9: three items, one entity, two users."""
    return dataset([(0, 0), (0, 1), (1, 1)], triples=[(0, 0, 3), (1, 0, 3), (1, 1, 2)], num_items=3)


TOY_USERS = ((1.0, 0.0), (0.0, 1.0))
TOY_ENTITIES = ((1.0, 1.0), (0.5, -0.5), (-1.0, 0.5), (0.2, 0.4))


def checkerboard(size: int = 12) -> Dataset:
    """Even users like even items, odd users odd items; each user's own number is withheld as the
    test item.
    """
    train = [
        (user, item)
        for user in range(size)
        for item in range(size)
        if (user - item) % 2 == 0 and item != user
    ]
    test = [(user, user) for user in range(size)]
    hub = size
    triples = [(item, 0, hub + item % 2) for item in range(size)]
    return dataset(train, test=test, triples=triples)


def cold_items(
    seed: int = 0, users: int = 60, warm: int = 40, cold: int = 20, likes: int = 8
) -> Dataset:
    """Two tastes, two kinds of item; cold items have no training interaction, only the knowledge
    graph says of which kind they are.

    Test interactions are each user's cold items of their own kind.
    """
    rng = np.random.default_rng(seed)
    items = warm + cold
    train = []
    test = []

    for user in range(users):
        own = [item for item in range(warm) if item % 2 == user % 2]
        train += [(user, int(item)) for item in rng.choice(own, likes, replace=False)]
        test += [(user, item) for item in range(warm, items) if item % 2 == user % 2]

    kinds = [(item, 0, items + item % 2) for item in range(items)]
    makers = [(item, 1, items + 2 + (item // 2) % 6 * 2 + item % 2) for item in range(items)]
    return dataset(train, test=test, triples=kinds + makers, num_entities=items + 14)


def knowledge_only(facts, num_entities, num_relations, held=None) -> Dataset:
    """Return a dataset of triples alone, without users and items; ``held`` has the held-out ones by
    part.
    """
    columns = np.array(list(facts), dtype=np.int64).reshape(-1, 3)
    entities = [f"e{row}" for row in range(num_entities)]

    return Dataset(
        name="knowledge",
        users=Vocabulary([], kind="user"),
        items=Vocabulary([], kind="item"),
        triples=knowledge(columns, entities, num_relations),
        train=Interactions(),
        valid=Interactions(),
        test=Interactions(),
        held_triples={
            part: np.array(rows, dtype=np.int32).reshape(-1, 3)
            for part, rows in (held or {}).items()
        },
    )


def planted(truth: str, seed: int = 0, users: int = 60, kinds: int = 5) -> Dataset:
    """Users keep to one kind of item; ``truth`` says what gives the kinds away: "interactions",
    "knowledge", or "both".

    Of interactions: 150 items, eight for each user to learn from, and triples that tell a kind at
    random. Of knowledge: 250 items, of which a user has two, and triples that tell the kind. Both:
    the two side by side, each with users of its own.
    """
    rng = np.random.default_rng(seed)
    blocks = {"interactions": [(150, 8, False)], "knowledge": [(250, 2, True)]}
    blocks["both"] = blocks["interactions"] + blocks["knowledge"]
    parts: tuple[list, list, list] = ([], [], [])
    stated = []
    first = 0

    for block, (size, likes, honest) in enumerate(blocks[truth]):
        kind = np.arange(size) % kinds
        stated += list(kind if honest else rng.permutation(kind))

        for user in range(users):
            own = first + rng.permutation(np.flatnonzero(kind == user % kinds))
            for part, rows in zip(
                parts, np.split(own[: likes + 14], [likes, likes + 4]), strict=True
            ):
                part += [(block * users + user, int(item)) for item in rows]

        first += size

    kinds_stated = [(item, 0, first + kind) for item, kind in enumerate(stated)]
    makers = [
        (item, 1, first + kinds + 3 * kind + int(rng.integers(3)))
        for item, kind in enumerate(stated)
    ]

    return dataset(*parts, kinds_stated + makers, num_items=first, num_entities=first + 4 * kinds)


def random_world(seed: int) -> Dataset:
    """Return a small graph with isolated nodes, triples between any two entities, and two parallel
    relations.
    """
    rng = np.random.default_rng(seed)
    users = 6
    items = 8
    entities = 13
    train = {(int(rng.integers(users)), int(rng.integers(items))) for _ in range(20)} | {(0, 0)}
    triples = {
        (int(rng.integers(entities)), int(rng.integers(3)), int(rng.integers(entities)))
        for _ in range(25)
    }
    triples = {(h, r, t) for h, r, t in triples if h != t} | {(0, 0, 9), (0, 1, 9)}

    return dataset(
        sorted(train),
        triples=sorted(triples),
        num_users=users,
        num_items=items,
        num_entities=entities,
        num_relations=3,
    )


FILLER = ("today", "report", "says", "after", "new", "first", "week", "over")


def with_texts(data: Dataset, seed: int = 0) -> Dataset:
    """Return a dataset whose items have titles that say nothing: words drawn from the same few."""
    rng = np.random.default_rng(seed)
    titles = [" ".join(rng.choice(FILLER, 4, replace=False)) for _ in range(data.num_items)]
    return replace(
        data, content=replace(data.content, texts=pl.Series("text", titles, dtype=pl.String))
    )


def with_times(data: Dataset) -> Dataset:
    """Return a dataset whose training interactions have times, in the order of its rows."""
    time = np.arange(len(data.train), dtype=float)
    return replace(data, train=replace(data.train, time=time))


def with_shuffled_times(data: Dataset) -> Dataset:
    """Return a dataset whose users have their training items in an order of chance, with times; it
    depends on which items they are alone, not on the number of the user.
    """
    order = []
    for user in np.unique(data.train.user):
        rows = np.flatnonzero(data.train.user == user)
        rows = rows[np.argsort(data.train.item[rows])]
        rng = np.random.default_rng(data.train.item[rows])
        order.append(rng.permutation(rows))

    return with_times(replace(data, train=data.train.take(np.concatenate(order))))


def forks(users: int = 80, items: int = 12, seed: int = 0) -> Dataset:
    """Users take items 0 and 1 in an order of chance, then any of the others, and then item 2 where
    0 came first, item 3 where 1 did; of the second half of them this last one is the test item.

    What decides is three steps back: the set of items without their order, and the last item alone,
    tell nothing.
    """
    rng = np.random.default_rng(seed)
    train, test = [], []
    for user in range(users):
        first = int(rng.integers(2))
        middle = 4 + int(rng.integers(items - 4))
        row = [first, 1 - first, middle, 2 + first]
        part = train if user < users // 2 else test
        train += [(user, item) for item in row[:3]]
        part.append((user, row[3]))

    return with_times(dataset(train, test=test, num_users=users, num_items=items))


def with_ratings(data: Dataset) -> Dataset:
    """Return a dataset whose interactions have ratings from 1 to 5, by item."""
    parts = {
        part: replace(pairs, rating=(1.0 + pairs.item % 5).astype(np.float32))
        for part, pairs in (("train", data.train), ("valid", data.valid), ("test", data.test))
    }
    return replace(data, **parts)


def news_board(
    seed: int = 0,
    *,
    users: int = 60,
    topics: int = 4,
    persons: int = 12,
    news: int = 30,
    impressions: int = 8,
) -> Dataset:
    """Every user follows one topic. News of training say their topic in words; held-out news are
    about new persons in new words.

    A person belongs to one of three clubs of their topic, and the clubs to its league: only these
    triples join the persons of held-out news to those of training. Validation and test each have
    persons and topic words of their own.
    """
    rng = np.random.default_rng(seed)
    sizes = {"train": news, "valid": news // 2, "test": news // 2}
    titles = []
    topic_of = []
    part_of = []
    named = []

    for number, (part, size) in enumerate(sizes.items()):
        for topic in range(topics):
            for _ in range(size):
                person = int(rng.integers(persons))
                words = list(rng.choice(FILLER, 3, replace=False))
                words.insert(int(rng.integers(4)), f"topic{part}{topic}x{rng.integers(5)}")
                name = f"person{part}{topic}x{person} jr"
                at = int(rng.integers(5))
                before = " ".join(words[:at])
                start = len(before) + (at > 0)
                titles.append(" ".join([*words[:at], name, *words[at:]]))
                named.append(
                    (
                        len(topic_of),
                        start,
                        start + len(name),
                        (number * topics + topic) * persons + person,
                    )
                )
                topic_of.append(topic)
                part_of.append(part)

    items = len(titles)
    people = len(sizes) * topics * persons
    topic_of = np.array(topic_of)
    part_of = np.array(part_of)
    mentions = np.array(named, dtype=np.int32) + np.array([0, 0, 0, items], dtype=np.int32)
    clubs = items + people
    league = items + people + 3 * topics
    topic_of_person = np.arange(people) // persons % topics
    plays = [
        (items + p, 0, clubs + 3 * topic_of_person[p] + rng.integers(3)) for p in range(people)
    ]
    within = [(clubs + club, 1, league + club // 3) for club in range(3 * topics)]
    liked = rng.integers(topics, size=users)

    def shown(part: str) -> Impressions:
        pool = np.flatnonzero(part_of == part)
        user = np.repeat(np.arange(users), impressions if part == "train" else impressions // 2)
        item = np.stack([rng.choice(pool, 6, replace=False) for _ in user])
        own = topic_of[item] == liked[user][:, None]
        clicked = rng.random(item.shape) < np.where(own, 0.8, 0.1)
        read = [
            rng.choice(
                np.flatnonzero((topic_of == liked[u]) & (part_of == "train")), 5, replace=False
            )
            for u in user
        ]
        lists = np.arange(len(user) + 1)
        before = np.concatenate(read).astype(np.int32)

        return Impressions(
            user.astype(np.int32),
            None,
            lists * 6,
            item.ravel().astype(np.int32),
            clicked.ravel(),
            lists * 5,
            before,
        )

    parts = {part: shown(part) for part in sizes}
    clicks = {
        part: set(zip(np.repeat(x.user, 6)[x.clicked], x.item[x.clicked], strict=True))
        for part, x in parts.items()
    }
    clicks["train"] |= {
        pair for x in parts.values() for pair in zip(np.repeat(x.user, 5), x.history, strict=True)
    }
    data = dataset(
        *(sorted(clicks[part]) for part in sizes), plays + within, num_users=users, num_items=items
    )

    return replace(
        data,
        content=Content(texts=pl.Series("text", titles, dtype=pl.String), mentions=mentions),
        impressions=parts,
    )


def kgat_folder(folder: Path) -> Path:
    """Write a folder as KGAT's authors publish them: 20 users with 6 of 30 items in train.txt and 2
    in test.txt, and triples.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    picked = [rng.permutation(30)[:8].tolist() for _ in range(20)]

    for name, part in (("train.txt", slice(0, 6)), ("test.txt", slice(6, 8))):
        (folder / name).write_text(
            "".join(
                f"{user} {' '.join(map(str, items[part]))}\n" for user, items in enumerate(picked)
            )
        )

    (folder / "kg_final.txt").write_text(
        "".join(f"{item} {item % 2} {30 + item % 5}\n" for item in range(30))
    )
    return folder
