"""The published recipes under the compiled kernels and under torch alone: the same loss curves, the
same negatives.
"""

import pytest

import kgrec
from kgrec.ops.backends import native
from kgrec.testing import worlds

RECIPES = [
    ("bprmf", "default", {}),
    ("lightgcn", "official", {}),
    ("lightgcn", "default", {}),
    ("cke", "default", {"loss": "bpr"}),
    ("kgat", "paper", {"layer_dims": (8, 4), "relation_dim": 8, "message_dropout": 0.0}),
    ("kgin", "paper", {"message_dropout": 0.0, "node_dropout": 0.0}),
]


@pytest.mark.skipif(
    native.library() is None, reason="the compiled kernels were not built here (no C++ compiler)"
)
@pytest.mark.parametrize(("model", "preset", "settings"), RECIPES)
def test_loss_curves_do_not_depend_on_the_kernels(monkeypatch, model, preset, settings):
    data = worlds.planted("both")

    def curve():
        run = kgrec.fit(
            model,
            data,
            preset=preset,
            dim=8,
            epochs=4,
            patience=0,
            learning_rate=0.01,
            seed=3,
            **settings,
        )
        return [
            {name: value for name, value in record.items() if name in losses}
            for record in run.history
        ], run.history

    losses = {"bpr", "softmax", "transr", "kg"}
    fast, history = curve()
    monkeypatch.setattr(native, "library", lambda: None)
    slow, _ = curve()
    assert fast[0], history
    assert fast[0] != fast[-1]
    for one, other in zip(fast, slow, strict=True):
        assert one == pytest.approx(other, rel=2e-4, abs=1e-6)
