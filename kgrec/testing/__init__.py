"""What tests of kgrec's own models and of models from outside share.

``contract`` is what every model must do (it needs pytest), ``worlds`` are small datasets with known
answers, ``simulate`` makes interactions with planted tastes.
"""

from contextlib import suppress

with suppress(ImportError):
    import pytest

    pytest.register_assert_rewrite("kgrec.testing.contract")
