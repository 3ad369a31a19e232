"""An explanation as a tree for a terminal: item, first stops, their paths, and the facts."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from kgrec.explanation.core.records import Explanation, Hop, Node, Path
from kgrec.explanation.core.words import Words
from kgrec.explanation.render.sentences import claim_words, did_words, relation_words
from kgrec.explanation.render.text import basis_word, drop_words, footing, heading, places, quoted


def tree(explanation: Explanation, width: int = 100, color: bool = False) -> str:
    """Return an explanation as a tree, every label made safe for a terminal.

    Args:
        explanation: What to show.
        width: Characters in a line, at least 40.
        color: Whether to write colors (ANSI sequences).
    """
    width = max(width, 40)
    words = explanation.words
    lang = words.lang
    root = Tree(Text("\n".join(heading(explanation, width))), guide_style="dim")
    parts = {}
    if explanation.budget:
        parts = {term.node: term.value for term in explanation.budget.by_liked}

    for stop, paths in _groups(explanation):
        said = quoted(stop, words)
        style = ""

        first = paths[0][1].hops[0]
        if first.liked:
            said = f"{did_words(first, words)} {said}"
            style = "bold"

        if stop in parts:
            said = lang.say("text.gives", stop=said, value=f"{parts[stop]:+.3g}")

        branch = root.add(Text(said, style=style))
        for number, path in paths:
            drops = drop_words(path, explanation)
            basis = basis_word(path.basis, words)
            leaf = branch.add(Text(f"{number}  {drops}  {basis}  {claim_words(path, words)}"))
            arrows = "".join(_arrow(hop, words) for hop in path.hops[1:]).strip()
            leaf.add(Text(arrows or lang.say("text.itself")))
            leaf.add(Text(places(path, words), style="dim"))

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


def _arrow(hop: Hop, words: Words) -> str:
    """Return a hop with arrows in the direction of its facts."""
    arrows = []
    for forward in dict.fromkeys(relation.forward for relation in hop.relations):
        labels = f" {words.lang.say('and')} ".join(
            relation_words(one, words) for one in hop.relations if one.forward == forward
        )
        if hop.liked:
            labels = did_words(hop, words)
        if forward:
            arrows.append(f"-{labels}->")
        else:
            arrows.append(f"<-{labels}-")

    return f" {' '.join(arrows)} {quoted(hop.target, words)}"
