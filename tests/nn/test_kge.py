import math

import numpy as np
import pytest
import torch

from kgrec.nn.kge import (
    ComplExTables,
    DistMultTables,
    RotatETables,
    TransDTables,
    TransETables,
    TransRTables,
    clip_rows_,
    moduli,
    transr_energies,
)


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_transr_energies_of_the_toy_triple():
    """models.md 1.3: W = I, head i0, relation r0, tail e3, corrupted i2: 1.13 and 4.36."""
    nodes = torch.tensor([[1.0, 1.0], [0.2, 0.4], [-1.0, 0.5]], dtype=torch.float64)
    relations = torch.tensor([[0.0, 0.1]], dtype=torch.float64)
    one = torch.tensor([0])
    true, corrupted, rows = transr_energies(
        nodes, relations, torch.eye(2).double().unsqueeze(0), one, one, one + 1, one + 2
    )
    assert float(true[0]) == pytest.approx(1.13)
    assert float(corrupted[0]) == pytest.approx(4.36)
    assert [row.tolist()[0] for row in rows] == [[1.0, 1.0], [0.0, 0.1], [0.2, 0.4], [-1.0, 0.5]]


def test_normalized_transr_energies_of_the_toy_triple():
    """models.md 1.4: W = I, h = i0, e_r = (0, .1), t = e3, corrupted i2; the rows for the norm stay
    as they are.
    """
    nodes = torch.tensor([[1.0, 1.0], [0.2, 0.4], [-1.0, 0.5]])
    one = torch.tensor([0])
    true, corrupted, rows = transr_energies(
        nodes,
        torch.tensor([[0.0, 0.1]]),
        torch.eye(2).unsqueeze(0),
        one,
        one,
        one + 1,
        one + 2,
        normalized=True,
    )
    assert float(true[0]) == pytest.approx(0.727993, abs=1e-6)
    assert float(corrupted[0]) == pytest.approx(4.152242, abs=1e-6)
    assert [row.tolist()[0] for row in rows] == [[1.0, 1.0], [0.0, 0.1], [0.2, 0.4], [-1.0, 0.5]]


def generator():
    return torch.Generator().manual_seed(0)


def filled(tables, **rows):
    with torch.no_grad():
        for name, values in rows.items():
            getattr(tables, name).copy_(torch.tensor(values))
    return tables


H, R, T = (1.0, 2.0), (0.5, -0.5), (1.0, 1.0)
ONE = torch.tensor([0])
BY_HAND = [
    (lambda: filled(TransETables(2, 1, 2, "l1", generator()), nodes=[H, T], relations=[R]), -1.0),
    (
        lambda: filled(TransETables(2, 1, 2, "l2", generator()), nodes=[H, T], relations=[R]),
        -0.707107,
    ),
    (
        lambda: filled(
            TransRTables(2, 1, 2, 2, generator()),
            nodes=[H, T],
            relations=[R],
            projections=[[[1.0, 0], [0, 2]]],
        ),
        -2.5,
    ),
    (
        lambda: filled(
            TransDTables(2, 1, 2, generator()),
            nodes=[H, T],
            relations=[R],
            projecting_nodes=[(0.1, 0.2), (0.3, 0.1)],
            projecting_relations=[(0.2, 0.4)],
        ),
        -0.562,
    ),
    (lambda: filled(DistMultTables(2, 1, 2, 0.1, generator()), nodes=[H, T], relations=[R]), -0.5),
    (lambda: filled(ComplExTables(2, 1, 1, 0.1, generator()), nodes=[H, T], relations=[R]), 2.0),
    (
        lambda: filled(RotatETables(2, 1, 1, 1.0, generator()), nodes=[H, T], relations=[(0.5,)]),
        -3.0,
    ),
]
NAMES = ["TransE L1", "TransE L2", "TransR", "TransD", "DistMult", "ComplEx", "RotatE"]


@pytest.mark.parametrize(("make", "expected"), BY_HAND, ids=NAMES)
def test_scores_by_hand(make, expected):
    """models.md 2.20; TransR: M_r h + r = (1.5, 3.5), M_r t = (1, 2), squared distance 2.5. RotatE
    turns by half of pi.
    """
    assert float(make().score(ONE, ONE, ONE + 1).detach()) == pytest.approx(expected, abs=1e-6)


def test_transd_places_the_ends_by_hand():
    tables = BY_HAND[3][0]()
    placed = tables.candidates(torch.tensor([0, 1]), torch.tensor([0, 0]))
    torch.testing.assert_close(placed, torch.tensor([[1.1, 2.2], [1.08, 1.16]]), atol=1e-6, rtol=0)


def random_tables(name, nodes=7, relations=3, dim=4):
    make = {
        "TransE L1": lambda: TransETables(nodes, relations, dim, "l1", generator()),
        "TransE L2": lambda: TransETables(nodes, relations, dim, "l2", generator()),
        "TransR": lambda: TransRTables(nodes, relations, dim, dim - 1, generator()),
        "TransD": lambda: TransDTables(nodes, relations, dim, generator()),
        "DistMult": lambda: DistMultTables(nodes, relations, dim, 1.0, generator()),
        "ComplEx": lambda: ComplExTables(nodes, relations, dim, 1.0, generator()),
        "RotatE": lambda: RotatETables(nodes, relations, dim, 1.0, generator()),
    }
    tables = make[name]()
    with torch.no_grad():
        for parameter in tables.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator()))
    return tables


def score_by_hand(name, tables, h, r, t):
    """Each equation as NumPy would write it, complex numbers as such."""
    arrays = {key: value.detach().numpy() for key, value in tables.named_parameters()}
    head, relation, tail = arrays["nodes"][h], arrays["relations"][r], arrays["nodes"][t]
    if name.startswith("TransE"):
        return -np.linalg.norm(head + relation - tail, 1 if name.endswith("L1") else 2)
    if name == "TransR":
        return -(
            (head @ arrays["projections"][r] + relation - tail @ arrays["projections"][r]) ** 2
        ).sum()
    if name == "TransD":
        across = np.outer(
            arrays["projecting_relations"][r], arrays["projecting_nodes"][[h, t]]
        ).reshape(4, 2, 4)
        projected = [
            (across[:, end] + np.eye(4)) @ vector for end, vector in enumerate((head, tail))
        ]
        return -((projected[0] + relation - projected[1]) ** 2).sum()
    if name == "DistMult":
        return (head * relation * tail).sum()
    head, tail = head[:4] + 1j * head[4:], tail[:4] + 1j * tail[4:]
    if name == "ComplEx":
        return (head * (relation[:4] + 1j * relation[4:]) * tail.conj()).sum().real
    return -np.abs(head * np.exp(1j * math.pi * relation) - tail).sum()


@pytest.mark.parametrize("name", NAMES)
def test_every_form_of_a_score_equals_the_equation(name):
    """One triple, one among corrupted ones, and against all entities, as tail and as head."""
    tables = random_tables(name)
    head, relation, tail = (
        torch.tensor([0, 3, 6, 2]),
        torch.tensor([0, 2, 1, 2]),
        torch.tensor([1, 1, 6, 5]),
    )
    rows = list(zip(head.tolist(), relation.tolist(), tail.tolist(), strict=True))
    every = np.array([[score_by_hand(name, tables, h, r, x) for x in range(6)] for h, r, _ in rows])
    others = np.array(
        [[score_by_hand(name, tables, x, r, t) for x in range(6)] for _, r, t in rows]
    )
    with torch.no_grad():
        own = tables.score(head, relation, tail)
        tails = tables.against(tables.tail_query(head, relation), relation, 6)
        heads = tables.against(tables.head_query(relation, tail), relation, 6)
        negative = torch.tensor([[4, 0], [5, 1], [2, 2], [3, 5]])
        corrupted = tables.corrupted(
            head, relation, tail, negative, torch.tensor([True, False, True, False])
        )
    np.testing.assert_allclose(own, [score_by_hand(name, tables, *row) for row in rows], atol=1e-9)
    np.testing.assert_allclose(tails, every, atol=1e-6)
    np.testing.assert_allclose(heads, others, atol=1e-6)
    expected = [
        (others if by_head else every)[row, negative[row]]
        for row, by_head in enumerate((True, False, True, False))
    ]
    np.testing.assert_allclose(corrupted, expected, atol=1e-9)


def test_only_distmult_cannot_tell_heads_from_tails():
    h, r, t = torch.tensor([0]), torch.tensor([1]), torch.tensor([2])
    for name in NAMES:
        tables = random_tables(name)
        same = torch.allclose(tables.score(h, r, t), tables.score(t, r, h))
        assert same == (name == "DistMult"), name


@pytest.mark.parametrize("name", NAMES)
def test_a_score_reaches_every_table_it_is_made_of(name):
    tables = random_tables(name)
    tables.score(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([2, 3])).sum().backward()
    for key, parameter in tables.named_parameters():
        assert bool((parameter.grad != 0).any()), key
        assert bool(parameter.grad.isfinite().all()), key


def test_a_triple_that_fits_exactly_has_a_finite_gradient():
    for make in (BY_HAND[1][0], BY_HAND[6][0]):
        tables = make()
        with torch.no_grad():
            tables.nodes.zero_()
            tables.relations.zero_()
        tables.score(ONE, ONE, ONE).sum().backward()
        assert bool(tables.nodes.grad.isfinite().all())


def test_constraints_hold_after_a_step():
    lengths = {}
    for name in NAMES:
        tables = random_tables(name)
        before = tables.nodes.detach().clone()
        tables.constrain()
        lengths[name] = tables.nodes.detach().norm(dim=1)
        if name.startswith("TransE"):
            torch.testing.assert_close(lengths[name], torch.ones(7))
        elif name in ("TransR", "TransD"):
            torch.testing.assert_close(lengths[name], before.norm(dim=1).clamp(max=1.0))
            assert float(tables.relations.detach().norm(dim=1).max()) <= 1 + 1e-12
        else:
            assert torch.equal(tables.nodes, before)


def test_short_rows_are_left_alone():
    table = torch.tensor([[0.3, 0.4], [3.0, 4.0], [0.0, 0.0]])
    clip_rows_(table)
    torch.testing.assert_close(table, torch.tensor([[0.3, 0.4], [0.6, 0.8], [0.0, 0.0]]))


def test_moduli_of_complex_rows():
    torch.testing.assert_close(
        moduli(torch.tensor([[3.0, 0.0, 4.0, -2.0]])), torch.tensor([[5.0, 2.0]])
    )
