"""Paths between a user and an item, and what removing them does to the score."""

from typing import TYPE_CHECKING

from kgrec.lazy import lazy_names

if TYPE_CHECKING:
    from kgrec.explanation.beside.pyg_module import as_pyg_module as as_pyg_module
    from kgrec.explanation.core.answers import Answer as Answer
    from kgrec.explanation.core.answers import Contrast as Contrast
    from kgrec.explanation.core.answers import FlipSet as FlipSet
    from kgrec.explanation.core.answers import ListReasons as ListReasons
    from kgrec.explanation.core.answers import Summary as Summary
    from kgrec.explanation.core.answers import WhatIf as WhatIf
    from kgrec.explanation.core.answers import WhyNot as WhyNot
    from kgrec.explanation.core.records import Budget as Budget
    from kgrec.explanation.core.records import Explanation as Explanation
    from kgrec.explanation.core.records import FactRef as FactRef
    from kgrec.explanation.core.records import Flip as Flip
    from kgrec.explanation.core.records import Hop as Hop
    from kgrec.explanation.core.records import Node as Node
    from kgrec.explanation.core.records import Path as Path
    from kgrec.explanation.core.records import Relation as Relation
    from kgrec.explanation.core.records import Term as Term
    from kgrec.explanation.explainer import Explainer as Explainer
    from kgrec.explanation.questions.batch import Person as Person
    from kgrec.explanation.render.html import page as page

_HOMES = {
    "Answer": "kgrec.explanation.core.answers",
    "Budget": "kgrec.explanation.core.records",
    "Contrast": "kgrec.explanation.core.answers",
    "Explainer": "kgrec.explanation.explainer",
    "Explanation": "kgrec.explanation.core.records",
    "FactRef": "kgrec.explanation.core.records",
    "Flip": "kgrec.explanation.core.records",
    "FlipSet": "kgrec.explanation.core.answers",
    "Hop": "kgrec.explanation.core.records",
    "ListReasons": "kgrec.explanation.core.answers",
    "Node": "kgrec.explanation.core.records",
    "Path": "kgrec.explanation.core.records",
    "Person": "kgrec.explanation.questions.batch",
    "Relation": "kgrec.explanation.core.records",
    "Summary": "kgrec.explanation.core.answers",
    "Term": "kgrec.explanation.core.records",
    "WhatIf": "kgrec.explanation.core.answers",
    "WhyNot": "kgrec.explanation.core.answers",
    "as_pyg_module": "kgrec.explanation.beside.pyg_module",
    "page": "kgrec.explanation.render.html",
}

__all__ = [
    "Answer",
    "Budget",
    "Contrast",
    "Explainer",
    "Explanation",
    "FactRef",
    "Flip",
    "FlipSet",
    "Hop",
    "ListReasons",
    "Node",
    "Path",
    "Person",
    "Relation",
    "Summary",
    "Term",
    "WhatIf",
    "WhyNot",
    "as_pyg_module",
    "page",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
