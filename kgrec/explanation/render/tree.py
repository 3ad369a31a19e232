"""An explanation as a tree for a terminal: item, first stops, their paths, and the facts."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from kgrec.escaping import terminal
from kgrec.explanation.core.records import Explanation, Hop, Node, Path
from kgrec.explanation.render.sentences import claim, drop_words, footing, heading, places


def tree(explanation: Explanation, width: int = 100, color: bool = False) -> str:
    """Return an explanation as a tree, every label made safe for a terminal.

    Args:
        explanation: What to show.
        width: Characters in a line, at least 40.
        color: Whether to write colors (ANSI sequences).
    """
    width = max(width, 40)
    root = Tree(Text("\n".join(heading(explanation, width))), guide_style="dim")
    parts = {}
    if explanation.budget:
        parts = {term.node: term.value for term in explanation.budget.by_liked}

    for stop, paths in _groups(explanation):
        words = f'"{terminal(stop.label)}"'
        style = ""

        first = paths[0][1].hops[0]
        if first.liked:
            words = f"{terminal(first.relation_label)} {words}"
            style = "bold"

        if stop in parts:
            words += f"  gives {parts[stop]:+.3g} of the score"

        branch = root.add(Text(words, style=style))
        for number, path in paths:
            leaf = branch.add(
                Text(f"{number}  {drop_words(path, explanation)}  {path.basis}  {claim(path)}")
            )
            leaf.add(Text("".join(map(_arrow, path.hops[1:])).strip() or "the item itself"))
            leaf.add(Text(f"facts: {places(path)}", style="dim"))

    console = Console(
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
    )
    with console.capture() as drawn:
        console.print(root)
        for line in footing(explanation, width):
            console.print(Text(line, style="dim"))

    return "\n".join(line.rstrip() for line in drawn.get().splitlines())


def _groups(explanation: Explanation) -> Iterator[tuple[Node, list[tuple[int, Path]]]]:
    """Return the first stops in the order of their best paths, each with its numbered paths."""
    found: dict[Node, list[tuple[int, Path]]] = {}
    for number, path in enumerate(explanation.paths, 1):
        found.setdefault(path.nodes[1], []).append((number, path))
    yield from found.items()


def _arrow(hop: Hop) -> str:
    """Return a hop with arrows in the direction of its facts."""
    arrows = []
    for forward in dict.fromkeys(relation.forward for relation in hop.relations):
        words = " and ".join(
            terminal(relation.label) for relation in hop.relations if relation.forward == forward
        )
        if forward:
            arrows.append(f"-{words}->")
        else:
            arrows.append(f"<-{words}-")

    return f' {" ".join(arrows)} "{terminal(hop.target.label)}"'
