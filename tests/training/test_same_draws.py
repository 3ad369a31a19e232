"""The draws of a seed are those of earlier versions, bit for bit (decision 0008)."""

import hashlib
from dataclasses import fields

import pytest
import torch

from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.training.loop import samplers_of

CASES = {
    ("bprmf", "default", "interaction"): "ff0c41eb02cd236d",
    ("bprmf", "default", "user_uniform"): "80ed488f6fad18c9",
    ("bprmf", "default", "user_uniform_replace"): "2100fe27a7dcf13b",
    ("bprmf", "default", "per_user_quota"): "3b1852396c35a482",
    ("lightgcn", "default", "interaction"): "c749887412f7e6cf",
    ("kgat", "default", "interaction"): "d054a8eab22055e2",
    ("kgat", "paper", "interaction"): "63b97eda06f63192",
    ("kgat", "official", "user_uniform"): "d932248a4b9afa5d",
    ("cke", "official", "interaction"): "bdcecd45ab32f982",
    ("cke", "default", "interaction"): "f03752920338a9aa",
    ("cfkg", "default", "interaction"): "6fa6d1e4e79c9c98",
    ("cfkg", "paper", "interaction"): "47b7e132c7603d25",
    ("cfkg", "official", "interaction"): "ad3616c4d936e2b4",
    ("transe", "default", "interaction"): "838136cf45e6e15a",
    ("dkn", "default", "interaction"): "6745b41567e61157",
}


def digest(name, preset, sampler):
    """Return a sum over every batch of epoch 2 of every objective."""
    data = worlds.with_texts(worlds.cold_items())
    if name == "dkn":
        data = worlds.news_board()
    chosen = choose(name, preset, {"sampler": sampler, "batch_size": 64})
    model = chosen.model.from_dataset(data, chosen.config, torch.Generator().manual_seed(0))
    total = hashlib.blake2b(digest_size=8)
    for feed in samplers_of(model.plan(), data, chosen.train, 7, torch.device("cpu")):
        for batch in feed.epoch(2):
            for field in fields(batch):
                column = getattr(batch, field.name)
                total.update(f"{field.name} {tuple(column.shape)}".encode())
                total.update(column.long().numpy().tobytes())
    return total.hexdigest()


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_draws_are_the_same_as_ever(case):
    assert digest(*case) == CASES[case]
