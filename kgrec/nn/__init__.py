"""Building blocks shared by at least two models: tensors in, tensors out."""

from typing import TYPE_CHECKING

from kgrec.lazy import lazy_names

if TYPE_CHECKING:
    from kgrec.nn.init import glorot_uniform as glorot_uniform
    from kgrec.nn.init import normal as normal
    from kgrec.nn.losses import bpr as bpr
    from kgrec.nn.losses import cosine_softmax as cosine_softmax
    from kgrec.nn.losses import l2 as l2
    from kgrec.nn.losses import logistic as logistic
    from kgrec.nn.losses import margin_hinge as margin_hinge
    from kgrec.nn.losses import self_adversarial as self_adversarial
    from kgrec.nn.losses import translation_ranking as translation_ranking

_HOMES = {
    "bpr": "kgrec.nn.losses",
    "cosine_softmax": "kgrec.nn.losses",
    "glorot_uniform": "kgrec.nn.init",
    "l2": "kgrec.nn.losses",
    "logistic": "kgrec.nn.losses",
    "margin_hinge": "kgrec.nn.losses",
    "normal": "kgrec.nn.init",
    "self_adversarial": "kgrec.nn.losses",
    "translation_ranking": "kgrec.nn.losses",
}

__all__ = [
    "bpr",
    "cosine_softmax",
    "glorot_uniform",
    "l2",
    "logistic",
    "margin_hinge",
    "normal",
    "self_adversarial",
    "translation_ranking",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
