"""Named recipes of DKN, and what tuning searches.

"official" are the authors' settings, "recommenders" those of Microsoft's implementation.
"""

from kgrec.models.base import Preset, Span

_RECOMMENDERS = {
    "word_dim": 100,
    "max_words": 10,
    "num_filters": 100,
    "train_entities": False,
    "attention_dims": (100,),
    "scorer_dims": (300,),
    "mask": False,
    "dropout": 0.0,
    "l2_weight": 1e-6,
}
PRESETS = {
    "default": Preset(
        train={"epochs": 20, "batch_size": 512, "learning_rate": 2e-3, "patience": 4}
    ),
    "paper": Preset(
        config={
            "word_dim": 100,
            "entity_dim": 100,
            "max_words": 10,
            "filter_widths": (1, 2, 3, 4),
            "num_filters": 100,
            "attention_dims": (100,),
            "scorer_dims": (100,),
            "dropout": 0.0,
        },
        train={"epochs": 10, "patience": 0, "batch_size": 128, "learning_rate": 1e-3},
    ),
    "official": Preset(
        config={
            "word_dim": 50,
            "entity_dim": 50,
            "max_words": 10,
            "filter_widths": (1, 2),
            "num_filters": 128,
            "use_context": False,
            "entity_vectors": "transe",
            "train_entities": True,
            "attention": "dot",
            "scorer": "dot",
            "mask": False,
            "max_history": 30,
            "dropout": 0.0,
            "l2_weight": 0.01,
        },
        train={"epochs": 10, "patience": 0, "batch_size": 128, "learning_rate": 1e-3},
    ),
    "recommenders": Preset(
        config=_RECOMMENDERS,
        train={"epochs": 10, "patience": 0, "batch_size": 500, "learning_rate": 5e-4},
    ),
    "fast": Preset(
        config={"num_filters": 32, "filter_widths": (1, 2), "max_history": 20, "kg_epochs": 20},
        train={"epochs": 8, "batch_size": 512, "learning_rate": 4e-3, "patience": 2},
    ),
}

SPACE = {
    "learning_rate": Span(3e-4, 1e-2, log=True),
    "dropout": Span(0.0, 0.5),
    "l2_weight": Span(1e-7, 1e-4, log=True),
    "num_filters": (32, 64, 128),
    "attention": ("net", "dot"),
}
