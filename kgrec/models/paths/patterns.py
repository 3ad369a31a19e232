"""Patterns of walks: sequences of relations, mined from a graph, and the tree of their prefixes."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.graph.ckg import CollaborativeKG

Pattern = tuple[int, ...]
Paths = tuple[Int[Tensor, " _"], Int[Tensor, "_ _"], Float[Tensor, " _"]]

_MINED_WALKS = 50_000


class TypedSteps(nn.Module):
    """Where a walker can go from a node by a relation, inverses included.

    Args:
        ckg: The graph; a fact that is stated several times counts once.
    """

    _key: Tensor
    _first: Tensor
    _next: Tensor
    _of_node: Tensor
    _end: Tensor
    _end_first: Tensor
    _place: Tensor
    _likes: Tensor

    def __init__(self, ckg: CollaborativeKG) -> None:
        super().__init__()
        self.ckg = ckg
        self._kinds = kinds = 2 * ckg.num_relations
        facts = np.unique(np.stack(ckg.both_ways(), 1), axis=0).reshape(-1, 3)
        facts = np.random.default_rng(0).permutation(facts)  # of too many, any are seen
        facts = facts[np.argsort(facts[:, 0] * kinds + facts[:, 1], kind="stable")]
        key, first = np.unique(facts[:, 0] * kinds + facts[:, 1], return_index=True)
        ends, end = np.unique(facts[:, 1:], axis=0, return_inverse=True)
        end_first = np.searchsorted(ends[:, 0], np.arange(kinds + 1))
        user, item = ckg.interactions()
        columns = {  # one more than there is: what a search that finds nothing may come to
            "_key": np.append(key, ckg.num_nodes * kinds),
            "_first": np.append(first, [len(facts), len(facts)]),
            "_next": np.append(facts[:, 2], 0),
            "_of_node": np.searchsorted(key, np.arange(ckg.num_nodes + 1) * kinds),
            "_end": np.append(ends[:, 1], 0),
            "_end_first": end_first,
            "_place": end.reshape(-1) - end_first[facts[:, 1]],
            "_likes": np.append(np.sort(user * ckg.num_items + item), -1),
        }
        for name, values in columns.items():
            of_torch = torch.from_numpy(values.astype(np.int64))
            self.register_buffer(name, of_torch, persistent=False)

    def each(
        self, node: Int[Tensor, " batch"], relation: int, most: int
    ) -> tuple[Int[Tensor, " _"], Int[Tensor, " _"], Int[Tensor, " _"]]:
        """Return all steps from nodes by a relation, at most so many from each: whose each is, as a
        position in ``node``, where it ends, and its place among ``ends``.
        """
        first, size = self._range(node, torch.full_like(node, relation))
        size = size.clamp(max=most)
        owner = torch.repeat_interleave(torch.arange(len(node), device=node.device), size)
        within = torch.arange(len(owner), device=node.device) - (size.cumsum(0) - size)[owner]
        at = first[owner] + within
        return owner, self._next[at], self._place[at]

    def draw(
        self,
        node: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        draws: torch.Generator | None,
    ) -> tuple[Int[Tensor, " batch"], Bool[Tensor, " batch"]]:
        """Return an end of a step by a relation from each node, all alike, and where there is
        one.
        """
        first, size = self._range(node, relation)
        return self._next[first + _below(size, draws)], size > 0

    def draw_relation(
        self, node: Int[Tensor, " batch"], draws: torch.Generator | None
    ) -> Int[Tensor, " batch"]:
        """Return one of the relations by which each node can be left, all alike; any for none."""
        first, end = self._of_node[node], self._of_node[node + 1]
        return self._key[first + _below(end - first, draws)] % self._kinds

    def draw_end(
        self, relation: Int[Tensor, " batch"], count: int, draws: torch.Generator | None
    ) -> Int[Tensor, "batch cand"]:
        """Return nodes that each relation ends at somewhere, all alike."""
        first, end = (self._end_first[rows].unsqueeze(1) for rows in (relation, relation + 1))
        return self._end[first + _below((end - first).expand(-1, count), draws)]

    def ends(self, relation: int) -> Int[Tensor, " _"]:
        """Return the nodes that a relation ends at somewhere, ascending."""
        return self._end[int(self._end_first[relation]) : int(self._end_first[relation + 1])]

    def used(
        self, user: Int[Tensor, "*batch"], node: Int[Tensor, "*batch"]
    ) -> Bool[Tensor, "*batch"]:
        """Return which nodes are items that users (rows) have used."""
        key = user * self.ckg.num_items + node
        at = torch.searchsorted(self._likes[:-1], key)
        return (self._likes[at] == key) & (node < self.ckg.num_items)

    def used_by(
        self, user: Int[Tensor, " batch"], nodes: Int[Tensor, " nodes"]
    ) -> Bool[Tensor, "batch nodes"]:
        """Return which of the same nodes are items that each user has used."""
        shape = len(user), len(nodes)
        return self.used(user.unsqueeze(1).expand(shape), nodes.expand(shape))

    def _range(self, node: Tensor, relation: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the facts begin, and how many there are."""
        key = node * self._kinds + relation
        at = torch.searchsorted(self._key, key)
        first = self._first[at]
        return first, (self._first[at + 1] - first) * (self._key[at] == key)


def _below(size: Tensor, draws: torch.Generator | None) -> Tensor:
    share = torch.rand(size.shape, generator=draws, device=size.device, dtype=torch.float64)
    return (share * size).long()


def walks_to_used(
    steps: TypedSteps,
    user: Int[Tensor, " batch"],
    relations: list[Tensor] | int,
    draws: torch.Generator | None,
) -> tuple[Int[Tensor, "batch _"], Int[Tensor, "batch _"], Bool[Tensor, " batch"]]:
    """Return the nodes and the relations of walks from users, a step by each of the relations, or so
    many by any, and which lead to an item of the user: never straight back, nor to the first node.
    """
    nodes, kinds = [user + steps.ckg.num_entities], list[Tensor]()
    held = torch.ones_like(user, dtype=torch.bool)
    for step in range(relations if isinstance(relations, int) else len(relations)):
        if isinstance(relations, int):
            kinds.append(steps.draw_relation(nodes[-1], draws))
        else:
            kinds.append(relations[step])

        end, there = steps.draw(nodes[-1], kinds[-1], draws)
        held = held & there
        if step:
            held = held & (end != nodes[-2])

        nodes.append(end)

    held = held & steps.used(user, nodes[-1]) & (nodes[-1] != nodes[1])
    return torch.stack(nodes, 1), torch.stack(kinds, 1), held


def other_ends(
    steps: TypedSteps,
    user: Int[Tensor, " batch"],
    relations: Int[Tensor, "batch _"],
    count: int,
    draws: torch.Generator | None,
) -> tuple[Int[Tensor, "batch _ cand"], Bool[Tensor, "batch cand"]]:
    """Return other nodes that steps by relations might have ended at, of the last step items that
    somebody used, and which of the latter are the user's.
    """
    pools = torch.cat([relations[:, :-1], torch.zeros_like(relations[:, :1])], 1)
    other = steps.draw_end(pools.flatten(), count, draws).view(*relations.shape, -1)
    return other, steps.used(user.unsqueeze(1).expand_as(other[:, -1]), other[:, -1])


def mined(ckg: CollaborativeKG, steps: TypedSteps, length: int, most: int) -> tuple[Pattern, ...]:
    """Return the patterns of walks that lead users to an item that they used, those of the most
    walks first.

    Walkers leave a node by each of its relations alike; all users start as many, of very many users
    some do; the draws are always the same. Where no walk leads anywhere it is users and items in turn.
    """
    draws = torch.Generator().manual_seed(0)
    users = torch.randperm(ckg.num_users, generator=draws)
    user = users[torch.arange(_MINED_WALKS) % len(users)]
    _, relations, held = walks_to_used(steps, user, length, draws)
    found = Counter(map(tuple, relations[held].tolist()))
    in_turn = tuple(step % 2 * ckg.num_relations for step in range(length))
    ordered = sorted(found, key=lambda pattern: (-found[pattern], pattern))[:most]
    return tuple(ordered) or (in_turn,)


def tree_of(
    patterns: Sequence[Pattern],
) -> tuple[tuple[tuple[int, int], ...], Int[Tensor, "_ _"]]:
    """Return the distinct prefixes of patterns, each as the place of the one before it (-1: none)
    and its last relation, those before first; and the places of the prefixes of each pattern.
    """
    places: dict[Pattern, int] = {(): -1}
    nodes = list[tuple[int, int]]()
    for size in range(1, len(patterns[0]) + 1):
        for pattern in patterns:
            if pattern[:size] not in places:
                places[pattern[:size]] = len(nodes)
                nodes.append((places[pattern[: size - 1]], pattern[size - 1]))

    rows = [[places[p[: size + 1]] for size in range(len(p))] for p in patterns]
    return tuple(nodes), torch.tensor(rows)


def shares(prominence: Float[Tensor, "batch _"], total: int, most: int) -> Int[Tensor, "batch _"]:
    """Return how many paths of each pattern to take, at most ``most`` of each and ``total`` in all:
    the whole numbers x with the greatest sum of x times prominence that use up the total.

    Every path costs the same, so that the most prominent patterns are filled first.
    """
    place = prominence.argsort(dim=1, descending=True, stable=True).argsort(1)
    return (total - place * most).clamp(0, most)


def walk_tree(
    steps: TypedSteps,
    tree: Sequence[tuple[int, int]],
    user: Int[Tensor, " batch"],
    chances: Callable[[int, Tensor], Tensor],
    width: Int[Tensor, "batch _"],
    most: int,
) -> list[Paths]:
    """Return the paths of users at each prefix of a tree: whose each is, as a position in ``user``,
    its nodes and its log-probability. None at a leaf ends at what the user has used.

    Args:
        steps: Where walkers can go.
        tree: What ``tree_of`` returns.
        user: User rows.
        chances: Returns the log-probabilities of users' steps to nodes, by the prefix's place.
        width: How many paths each user has at each prefix, at most.
        most: Facts that are looked at from a node by a relation, at most.
    """
    start = (user + steps.ckg.num_entities).unsqueeze(1)
    root = (
        torch.arange(len(user), device=user.device),
        start,
        chances(0, user[:0]).new_zeros(len(user)),
    )
    inner = {parent for parent, _ in tree}
    found: list[Paths] = []
    for at, (parent, relation) in enumerate(tree):
        before = found[parent] if parent >= 0 else root
        nodes = before[1]
        entry, end, column = steps.each(nodes[:, -1], relation, most)
        ends = steps.ends(relation)
        step = chances(at, ends)
        if at not in inner:
            step = step.masked_fill(steps.used_by(user, ends), -torch.inf)
        if parent >= 0:
            fresh = end != nodes[entry, -2]
            entry, end, column = (part[fresh] for part in (entry, end, column))

        found.append(_likeliest(before, (entry, end, column), step, width[:, at]))

    return found


def _likeliest(
    before: Paths,
    steps: tuple[Tensor, Tensor, Tensor],
    chances: Float[Tensor, "batch _"],
    width: Int[Tensor, " batch"],
) -> Paths:
    """Return the likeliest paths that are one step longer, each owner's to different nodes: whose
    each is, its nodes, its log-probability.

    Args:
        before: The paths before the step, alike.
        steps: Which of them each step goes on from, where it ends, and the column of that.
        chances: Log-probability of a step to each end, by owner; -inf for none.
        width: How many paths each owner keeps, at most.
    """
    (owner, nodes, chance), (entry, end, column) = before, steps
    count = chances.shape[1]
    at = owner[entry] * count + column
    whole = chance[entry] + chances.flatten()[at]
    best = torch.full_like(chances, -torch.inf).flatten().scatter_reduce(0, at, whole, "amax")
    most = min(int(width.max()), count)
    top, column = best.view_as(chances).topk(most, 1)
    kept = torch.isfinite(top) & (torch.arange(most, device=top.device) < width.unsqueeze(1))
    whose, rank = kept.nonzero(as_tuple=True)
    slot = torch.full_like(best, -1, dtype=torch.int64)
    slot[whose * count + column[whose, rank]] = torch.arange(len(whose), device=whose.device)
    winner = ((whole == best[at]) & (slot[at] >= 0)).nonzero().squeeze(1)
    by = torch.zeros_like(whose)  # of equal ones the first
    by = by.scatter_reduce(0, slot[at[winner]], winner, "amin", include_self=False)
    return whose, torch.cat([nodes[entry[by]], end[by].unsqueeze(1)], 1), top[whose, rank]
