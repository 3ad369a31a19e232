"""What CKE reads of items beside the graph: feature vectors and texts."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.data.texts.tfidf import tf_idf
from kgrec.errors import ConfigError

if TYPE_CHECKING:
    from kgrec.models.knowledge.cke import CKEConfig


def contents_of(data: Dataset, config: "CKEConfig") -> dict[str, Tensor]:
    """Return the "features" and the "text" that the configuration asks for: one row per item,
    values in [0, 1].
    """
    contents = {}
    features = data.content.features
    texts = data.content.texts

    if (
        _requested(config.features, features is not None, "features", "--features FILE")
        and features is not None
    ):
        contents["features"] = _unit_columns(features)

    if (
        _requested(config.text, texts is not None, "text", "--items FILE --texts COL")
        and texts is not None
    ):
        rows = torch.from_numpy(tf_idf(texts, config.text_words))
        contents["text"] = rows.to(torch.get_default_dtype())

    for name, rows in contents.items():
        if not rows.shape[1]:
            raise ConfigError(
                "cke: no word occurs in two of the items' texts, so they say nothing. Set "
                f"{name}=off."
            )

    return contents


def _requested(switch: str, there: bool, what: str, remedy: str) -> bool:
    """Return whether a content of the dataset takes part."""
    if switch == "on" and not there:
        raise ConfigError(
            f"cke: {what}=on, but the dataset has no {what}. Build it with {remedy}, or set "
            f"{what}=off."
        )

    return there and switch != "off"


def _unit_columns(rows: np.ndarray) -> Tensor:
    """Return rows with each column moved and scaled to [0, 1]; constant columns become 0."""
    values = torch.from_numpy(np.array(rows)).to(torch.get_default_dtype())
    low = values.amin(0, keepdim=True)
    return (values - low) / (values.amax(0, keepdim=True) - low).clamp(
        min=torch.finfo(values.dtype).tiny
    )
