"""What a step costs by the number of processes: bytes, seconds, memory, and how many it is worth.

Bytes are exact. Seconds are bytes over bandwidths, and an estimate; ``docs/many-machines.md`` says
what of it was measured.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, Literal

from kgrec.errors import ConfigError

Kind = Literal["scores", "gather", "columns_to_rows", "lookup", "gradients"]

_SECTOR = 32  # bytes that memory is read by: narrower rows cost the same
_EDGE = 100  # bytes that an edge costs a CPU at least, however narrow its row
_SHORT = 1e-3  # seconds of a step below which further processes gain nothing worth their start
_GAIN = 1.25  # times that a larger world must be faster


def bytes_of(kind: Kind, *, rows: int, dim: int = 1, size: int = 4, world: int = 1) -> int:
    """Return the bytes that each process sends in a step.

    Args:
        kind: "scores": ``rows`` numbers that add up over columns (W - 1 of W parts, twice).
            "gather": whole rows made of columns, and their gradients sent back.
            "columns_to_rows": a table of columns turned to rows, or back, once.
            "lookup": rows of a table that lies apart by rows, evenly, and their gradients.
            "gradients": ``rows`` numbers of parameters that every process holds, added up as
            scores are.
        rows: Rows of the batch, of the table, or numbers.
        dim: Columns of the whole table.
        size: Bytes of a value.
        world: W, the number of processes.
    """
    others = world - 1
    if kind in ("scores", "gradients"):
        return 2 * others * rows * size // world
    if kind == "gather":
        return 2 * rows * dim * size * others // world
    if kind == "columns_to_rows":
        return rows * dim * size * others // world**2
    return rows * (8 + 2 * dim * size) * others // world


def dense_bytes(
    widths: Sequence[int], *, nodes: int, rows: int, size: int = 4, world: int = 1
) -> int:
    """Return the bytes that each process sends in a step for dense layers between tables of columns.

    To every layer go a table and what it gathered, as whole rows, and its output comes back as
    columns; gradients go the other way: 2 (2 d + d') n s (W - 1) / W^2.

    Args:
        widths: Columns before the first layer, and after each.
        nodes: Rows of the tables.
        rows: Rows that the last layer is computed for.
        size: Bytes of a value.
        world: W, the number of processes.
    """
    total = 0
    for number, (before, after) in enumerate(pairwise(widths), 2):
        count = rows if number == len(widths) else nodes
        shared = {"rows": count, "dim": 2 * before + after, "size": size, "world": world}
        total += 2 * bytes_of("columns_to_rows", **shared)

    return total


@dataclass(frozen=True, slots=True)
class Work:
    """What a model does in a step.

    Attributes:
        nodes: Rows of its tables.
        edges: Directed edges of its graph.
        dim: Columns.
        layers: Layers of propagation.
        batch: Interactions in a step.
        interactions: Interactions in an epoch.
        softmax: Whether whole rows are compared with many items, instead of pairs by their scores.
        size: Bytes of a value.
        widths: Columns before and after each dense layer; () without any.
        sums: Further numbers of a step that are added up over columns.
        dense: Of a model whose processes share the batch: numbers of the parameters that each of
            them holds; ``nodes`` are then rows of the tables that lie apart by rows. 0 by columns.
        looked: Rows of those that a step looks up.
        seconds: Seconds of a step in one process, measured, where ``dense`` is given.
    """

    nodes: int
    edges: int
    dim: int = 64
    layers: int = 3
    batch: int = 2048
    interactions: int = 0
    softmax: bool = False
    size: int = 4
    widths: Sequence[int] = ()
    sums: int = 0
    dense: int = 0
    looked: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Reject values out of range."""
        least = {"nodes": 1, "edges": 0, "dim": 1, "layers": 0, "batch": 1, "interactions": 0}
        least |= {"sums": 0, "dense": 0, "looked": 0}
        values = [(name, getattr(self, name), low) for name, low in least.items()]
        if not isinstance(self.widths, tuple | list):
            raise ConfigError(f"widths={self.widths!r}: expected a list of numbers of columns.")
        for name, value, low in [*values, *(("widths", width, 1) for width in self.widths)]:
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value < 2**53:
                raise ConfigError(f"{name}={value!r}: expected a whole number from {low} on.")
        if self.size not in (2, 4, 8):
            raise ConfigError(f"size={self.size!r}: a value has 2, 4 or 8 bytes.")
        if not isinstance(self.seconds, int | float) or not 0 <= self.seconds < 1e9:
            raise ConfigError(f"seconds={self.seconds!r}: expected a number from 0 on.")
        if bool(self.dense) != bool(self.seconds):
            raise ConfigError("dense needs the seconds of a step, and they are of dense alone.")

    @property
    def rows(self) -> int:
        """Distinct nodes of a batch: users, items and as many negatives, drawn alike."""
        return round(self.nodes * -math.expm1(-3 * self.batch / self.nodes))

    @property
    def graph(self) -> int:
        """Bytes of the graph, which every process holds whole: sources, weights, reverses."""
        return 12 * self.edges + 8 * self.nodes

    def sent(self, world: int) -> int:
        """Return the bytes that each process sends in a step."""
        shared = {"size": self.size, "world": world}
        if self.dense:
            looked = -(-self.looked // world)
            return bytes_of("gradients", rows=self.dense, **shared) + bytes_of(
                "lookup", rows=looked, dim=self.dim, **shared
            )
        dense = dense_bytes(self.widths, nodes=self.nodes, rows=self.rows, **shared)
        more = dense + bytes_of("scores", rows=self.sums, **shared)
        if self.softmax:
            return more + bytes_of("gather", rows=self.rows, dim=self.dim, **shared)
        return more + bytes_of("scores", rows=self.batch + 1, **shared)

    @property
    def exchanges(self) -> int:
        """Collective operations of a step: two of the loss, six of a dense layer, two of every layer
        whose numbers are added up.
        """
        return 2 + 6 * max(0, len(self.widths) - 1) + (2 * self.layers if self.sums else 0)

    def memory(self, world: int) -> int:
        """Return the bytes of a process: parameters, gradients, two moments and two tables of
        activations by columns; the graph whole. Where the batch is shared: parameters, gradients
        and two moments, those of tables that lie apart by rows.
        """
        if self.dense:
            return 4 * self.size * (self.dense + self.nodes * self.dim // world)
        return 6 * self.size * self.nodes * self.dim // world + self.graph


@dataclass(frozen=True, slots=True)
class Hardware:
    """What processes run on.

    Attributes:
        name: What it is called.
        memory: Bytes of memory of a process.
        bandwidth: Bytes a second that a process reads, of rows all over a large table.
        cached_bandwidth: The same where the table stays in the cache.
        cache: Bytes of the cache.
        link: Bytes a second that a process sends within a machine.
        link_delay: Seconds of a collective operation within a machine.
        ranks: Processes of a machine.
        network: Bytes a second that a process sends to other machines.
        network_delay: Seconds of a collective operation between machines.
        overhead: Seconds of a step that no process can share.
        shared: Whether one process has all of a machine's memory and cores already, as on CPUs.
    """

    name: str
    memory: int
    bandwidth: float
    cached_bandwidth: float
    cache: int
    link: float
    link_delay: float
    ranks: int
    network: float
    network_delay: float
    overhead: float
    shared: bool = False

    @classmethod
    def of(cls, values: dict[str, Any], where: str) -> "Hardware":
        """Return the hardware that a table names.

        Raises:
            ConfigError: If a field is unknown, missing or out of range.
        """
        known = {one.name for one in fields(cls)}
        wrong = sorted(set(values) - known) or sorted(known - set(values) - {"shared"})
        if wrong:
            raise ConfigError(
                f"{where}: hardware needs {', '.join(sorted(known))}; {wrong[0]} is missing or "
                "unknown."
            )
        for name, value in values.items():
            if name not in ("name", "shared") and not (
                isinstance(value, int | float) and 0 <= value < 1e18
            ):
                raise ConfigError(f"{where}: {name}={value!r} is no number from 0 on.")
        if min(values[name] for name in ("bandwidth", "cached_bandwidth", "link", "network")) <= 0:
            raise ConfigError(f"{where}: bandwidths, link and network are above 0.")
        if values["ranks"] < 1:
            raise ConfigError(f"{where}: a machine has at least one rank.")
        return cls(**values)


H200X8 = Hardware(
    "h200x8",
    memory=139 << 30,
    bandwidth=3.5e12,
    cached_bandwidth=5.5e12,
    cache=50 << 20,
    link=350e9,
    link_delay=20e-6,
    ranks=8,
    network=50e9,
    network_delay=35e-6,
    overhead=30e-6,
)


def cpus(threads: int, memory: int) -> Hardware:
    """Return a machine without GPUs, of so many threads and bytes of memory."""
    speed = 40e9 * max(1, threads)
    return Hardware(
        "cpu", memory, speed, speed, 0, 5e9, 1e-4, 1 << 20, 1e9, 1e-3, 5e-3, shared=True
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What training by so many processes would cost.

    Attributes:
        world: Processes.
        step_seconds: Seconds of a step.
        epoch_seconds: Seconds of an epoch; None where its interactions are not known.
        memory_bytes: Of a process.
        sent_bytes: That a process sends in a step.
        fits: Whether the memory suffices.
        note: Why this many are of no use; "" where they are.
    """

    world: int
    step_seconds: float
    epoch_seconds: float | None
    memory_bytes: int
    sent_bytes: int
    fits: bool
    note: str


@dataclass(frozen=True, slots=True)
class Advice:
    """How many processes a training is worth.

    Attributes:
        best: Processes; 0 where none of those asked about can train it.
        parallel: "columns", "data", or "none" for a single process.
        reason: Why.
        hardware: Name of the hardware.
        rows: The estimate of each number of processes.
    """

    best: int
    parallel: str
    reason: str
    hardware: str
    rows: tuple[Estimate, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the form of ``kgrec doctor --world --json``."""
        return asdict(self)


def step_seconds(work: Work, hardware: Hardware, world: int) -> float:
    """Return the seconds of a step.

        sparse product = edges (s d / W + 8) + 2 n s d / W bytes
        step = (2 (layers - 1) + 2 f) products + 7 n s d / W of Adam, over the bandwidth
               + what is sent + overhead

    f is the share of edges that touch the batch: the last layer is computed for its rows alone.
    Where the batch is shared, a step takes what was measured, over W.
    """
    together = min(world, hardware.ranks) if hardware.shared else 1  # what one process has alone
    if work.dense:
        own = work.seconds * together / world
        return own + _exchange(work, hardware, world) + hardware.overhead * (world > 1)

    width = work.size * work.dim / world
    edge = width + 8
    if hardware.shared:
        edge = max(edge, _EDGE)

    product = work.edges * edge + 2 * work.nodes * width
    touched = min(1.0, 2 * work.rows / work.nodes)
    passes = 2 * (work.layers - 1) + 2 * touched if work.layers else 0.0
    moved = (passes * product + 7 * work.nodes * width) * together
    speed = _bandwidth(hardware, work.nodes * width)
    return moved / speed + _exchange(work, hardware, world) + hardware.overhead


def advise(work: Work, hardware: Hardware, worlds: Sequence[int]) -> Advice:
    """Return how many of ``worlds`` processes a training is worth, and why.

    Raises:
        ConfigError: If a number of processes is less than 1.
    """
    if not worlds or min(worlds) < 1:
        raise ConfigError("--world lists numbers of processes, 1 or more: 1,2,4,8.")

    rows = tuple(_estimate(work, hardware, world) for world in sorted(set(worlds)))
    usable = [row for row in rows if row.fits and not row.note]
    if not usable:
        need = min(row.memory_bytes for row in rows)
        return Advice(0, "none", _too_large(work, hardware, need), hardware.name, rows)

    best = usable[0]
    if best.world == 1 and best.step_seconds < _SHORT and not hardware.shared:
        reason = (
            f"a step takes {best.step_seconds * 1e3:.2f} ms in one process; more gain little. Run "
            "seeds and settings side by side: torchrun -m kgrec tune"
        )
        return Advice(1, "none", reason, hardware.name, rows)

    for row in usable[1:]:
        if best.step_seconds > _GAIN * row.step_seconds:
            best = row

    if best.world == 1:
        why = "share one machine's memory and cores, which one process has alone"
        reason = f"more processes {why if hardware.shared else 'are hardly faster'}"
        return Advice(1, "none", reason, hardware.name, rows)

    times = usable[0].step_seconds / best.step_seconds
    reason = f"a step takes {best.step_seconds:.3g} s"
    if usable[0].world == 1:
        reason += f", {times:.1f} times as fast as in one process"
    way = "data" if work.dense else "columns"
    return Advice(best.world, way, reason, hardware.name, rows)


def _estimate(work: Work, hardware: Hardware, world: int) -> Estimate:
    memory = work.memory(world)
    note = ""
    undivided = [width for width in (work.dim, *work.widths) if width % world]
    if work.dense:
        note = ""
    elif undivided:
        note = f"{undivided[0]} columns are not divided by {world}"
    elif world > 1 and work.size * work.dim / world < _SECTOR:
        note = f"rows of {work.size * work.dim // world} bytes: no faster than fewer processes"

    one = step_seconds(work, hardware, world)
    steps = -(-work.interactions // work.batch)
    return Estimate(
        world,
        one,
        one * steps if steps else None,
        memory,
        work.sent(world),
        memory * (min(world, hardware.ranks) if hardware.shared else 1) <= hardware.memory,
        note,
    )


def _too_large(work: Work, hardware: Hardware, need: int) -> str:
    if not work.dense and work.graph > hardware.memory:
        return (
            f"each process holds the graph, {work.graph / 2**30:.1f} GiB, and has "
            f"{hardware.memory / 2**30:.1f} GiB. Sample neighbors, or keep fewer edges"
        )
    return (
        f"a process needs at least {need / 2**30:.1f} GiB of {hardware.memory / 2**30:.1f} GiB, or "
        "the columns are not divided. Ask about more processes, or a smaller dim"
    )


def _bandwidth(hardware: Hardware, table: float) -> float:
    """Return the bytes a second at which rows of a table are read: all from the cache, half, none."""
    if table <= hardware.cache / 2:
        return hardware.cached_bandwidth
    if table <= hardware.cache:
        return (hardware.bandwidth + hardware.cached_bandwidth) / 2
    return hardware.bandwidth


def _exchange(work: Work, hardware: Hardware, world: int) -> float:
    if world == 1:
        return 0.0
    if world <= hardware.ranks:
        return work.exchanges * hardware.link_delay + work.sent(world) / hardware.link
    return work.exchanges * hardware.network_delay + work.sent(world) / hardware.network
