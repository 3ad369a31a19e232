"""A world with every kind of field, and its features counted by hand."""

from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import torch

from kgrec.queries import queries
from kgrec.testing import worlds

# Items 0 to 5, entities 6 to 9. Item 0 has two values of r0, one stated twice; item 5 is the tail of
# item 1; item 4 has no interaction, and what it has in common with item 2 is r1 of 9.
FACTS = ((0, 0, 6), (0, 0, 7), (0, 0, 7), (1, 0, 6), (2, 0, 7), (2, 1, 9), (4, 1, 9), (1, 1, 5))
FACTS += ((3, 1, 5), (3, 0, 8), (4, 1, 3), (5, 1, 3))
LIKES = ((0, 0), (0, 1), (1, 2), (1, 3), (2, 5), (2, 0), (3, 2))
ABOUT_USERS = ((0, 0, 6), (1, 0, 6), (1, 1, 9), (2, 0, 7), (3, 0, 7), (3, 0, 6), (4, 0, 7))
NUMBERS = np.array([[1.0, 0], [2, 0], [3, 0], [4, 1], [5, 1], [9, 1]], dtype=np.float32)


def world():
    data = worlds.dataset(LIKES, triples=FACTS, num_users=5, num_items=6, num_entities=10)
    content = replace(data.content, features=NUMBERS)
    return replace(data, user_facts=np.array(ABOUT_USERS, dtype=np.int32), content=content)


def built(model, config, data=None, seed=0):
    """Return a model in float64 with parameters that are all far from 0."""
    generator = torch.Generator().manual_seed(seed + 1)
    made = in_double(model, data or world(), config)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)

    return made


def in_double(model, data, config):
    torch.set_default_dtype(torch.float64)
    try:
        return model.from_dataset(data, config, torch.Generator().manual_seed(0)).eval()
    finally:
        torch.set_default_dtype(torch.float32)


def values_of(side, knowledge, least):
    """Return the values that a side's rows have by kind, (kind, entity) in order, and each row's."""
    held = {row: set() for row in range(5 if side == "users" else 6)}
    if side == "users":
        for user, relation, entity in ABOUT_USERS:
            held[user].add((relation, entity))
    elif knowledge:
        for head, relation, tail in FACTS:
            if head < 6:
                held[head].add((relation, tail))
            if tail < 6:
                held[tail].add((relation + 2, head))
    count = Counter(value for own in held.values() for value in own)
    order = sorted(value for value in count if count[value] >= least)
    return order, {row: [v for v in sorted(own) if v in order] for row, own in held.items()}


def features(model, user, item):
    """Return the features of a pair, the user's first: (side, field, x, its numbers)."""
    found = []
    config = model.config
    warm = {"users": {u for u, _ in LIKES}, "items": {i for _, i in LIKES}}
    numbers = NUMBERS.astype(float)
    scaled = (numbers - numbers.mean(0)) / numbers.std(0)
    for side, row in (("users", user), ("items", item)):
        if row in warm[side]:
            found.append((side, 0, 1.0, model.get_parameter(side)[row].detach().numpy()))
        order, held = values_of(side, config.knowledge, config.min_count)
        kinds = sorted({kind for kind, _ in order})
        table = dict(model.named_parameters()).get(f"{side[:-1]}_values")
        for value in held[row]:
            own = sum(kind == value[0] for kind, _ in held[row])
            numbers = table[order.index(value)].detach().numpy()
            found.append((side, 1 + kinds.index(value[0]), 1 / own, numbers))
        if side == "items":
            for column, number in enumerate(scaled[row]):
                numbers = table[len(order) + column].detach().numpy()
                found.append((side, 1 + len(kinds), number, numbers))
    return found


def linear(model, found):
    """w_0 + sum of w_i x_i."""
    return model.bias.item() + sum(x * numbers[-1] for _, _, x, numbers in found)


def products(found):
    """The product of each two features' vectors, elementwise, times both numbers."""
    return [x * y * a[:-1] * b[:-1] for (_, _, x, a), (_, _, y, b) in combinations(found, 2)]


def network(model, found):
    """The network over the vectors of all fields, the user's first."""
    rows = []
    for side, names in (("users", model.known.users.names), ("items", model.known.items.names)):
        total = np.zeros((len(names) + 1, model.config.dim))
        for own, field, x, numbers in found:
            if own == side:
                total[field] += x * numbers[:-1]
        rows.append(total.ravel())

    deep = model.deep
    values = np.concatenate(rows) @ torch.cat([deep.left, deep.right]).detach().numpy()
    values = np.maximum(values + deep.offset.detach().numpy(), 0)
    return (layered(deep.rest, values) @ deep.head.detach().numpy()).item()


def layered(layers, values):
    """Dense layers with ReLU, by numpy."""
    for layer in layers:
        if isinstance(layer, torch.nn.Linear):
            weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
            values = np.maximum(weight @ values + bias, 0)
    return values


def check_scores(model, expected):
    """Hold the scores of all pairs, of candidates, and of the effects against a function; return
    all.
    """
    data = world()
    table = np.array([[expected(model, u, i) for i in range(6)] for u in range(5)])
    query = queries(data.train, np.arange(5))
    candidates = torch.tensor([[3, 0, 5]]).expand(5, 3)
    with torch.inference_mode():
        scorer = model.scorer()
        np.testing.assert_allclose(scorer(query).numpy(), table)
        np.testing.assert_allclose(scorer(query, candidates).numpy(), table[:, [3, 0, 5]])
    rerun = model.explanation_effects().rerun(1, 2, [[]])
    np.testing.assert_allclose(rerun.numpy(), table[1, [2]])
    return table


def check_loss(model, table):
    """The cross-entropy of labeled pairs, and half the squares of all that a pair's features have."""
    from kgrec.batches import PointwiseBatch

    user, item = torch.tensor([1, 3, 1, 0]), torch.tensor([2, 5, 4, 0])
    label = torch.tensor([1.0, 0, 0, 1], dtype=torch.float64)
    score = torch.from_numpy(table[user, item])
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(score, label)
    squares = [
        sum(x * x * (numbers**2).sum() for _, _, x, numbers in features(model, u, i))
        for u, i in zip(user.tolist(), item.tolist(), strict=True)
    ]
    penalty = model.config.l2_weight / 2 * np.mean(squares)
    found = model.loss(PointwiseBatch(user, item, label)).item()
    np.testing.assert_allclose(found, entropy.item() + penalty)


def check_removals(model):
    """A score without facts is that of the model on data without them."""
    effects = model.explanation_effects()
    ckg = effects.ckg

    def at(fact, about_user=False):
        first = ckg.num_entities if about_user else 0
        rows = (ckg.head == fact[0] + first) & (ckg.relation == fact[1] + 1)
        return np.flatnonzero(rows & (ckg.tail == fact[2])).tolist()

    twice = at((0, 0, 7))
    groups = [twice, twice[:1], at((0, 0, 6)) + at((1, 0, 6), True), at((3, 0, 8))]
    found = effects.rerun(1, 0, groups).tolist()
    without = []
    for facts, about in (
        ([f for f in FACTS if f != (0, 0, 7)], ABOUT_USERS),
        (FACTS, ABOUT_USERS),
        ([f for f in FACTS if f != (0, 0, 6)], [f for f in ABOUT_USERS if f != (1, 0, 6)]),
        (FACTS, ABOUT_USERS),
    ):
        # the same values keep their rows: item 2 has r0 of 7, item 1 r0 of 6, user 0 and 3 r0 of 6
        with_fewer = replace(
            worlds.dataset(LIKES, triples=facts, num_users=5, num_items=6, num_entities=10),
            user_facts=np.array(about, dtype=np.int32),
        )
        with_fewer = replace(with_fewer, content=replace(with_fewer.content, features=NUMBERS))
        config = replace(model.config, min_count=1)
        again = in_double(type(model), with_fewer, config)
        again.load_state_dict(model.state_dict())
        with torch.inference_mode():
            query = queries(with_fewer.train, np.array([1]))
            without.append(again.scorer()(query)[0, 0].item())
    np.testing.assert_allclose(found, without)
    assert found[0] != found[1]
    assert found[1] == found[3]
