"""The errors that kgrec raises on purpose.

    KgrecError
    ├── DataError (ValueError)          something in a file or table
    │   ├── FormatError                 a line, column or file that cannot be read
    │   ├── UnknownIdError (KeyError)   a user, item, entity or relation that is not in the data
    │   ├── LinkError                   item-to-entity links that do not fit
    │   ├── MissingFileError (FileNotFoundError)
    │   └── FetchError (OSError)        an address that does not give what was asked for
    ├── GraphError (ValueError)         a graph that breaks its own invariants
    ├── GraphNotFoundError (FileNotFoundError)   a bundled graph that is not there
    ├── ConfigError (ValueError)        a setting that is unknown or out of range
    │   └── UnknownModelError (KeyError)
    ├── CheckpointError (ValueError)    a dataset or run folder that is broken, foreign or of
    │                                   another version
    ├── ModelError (TypeError)          a model class that breaks the contract of ``Recommender``
    ├── TrainingError (RuntimeError)
    │   └── DivergedError               a loss that is not a number
    ├── ForkError (RuntimeError)        work that would hang in a forked process
    ├── WorldError (RuntimeError)       processes of one command that differ, or lost one another
    └── ExplanationError (ValueError)   an explanation that cannot be given
        └── CapabilityError             a model that cannot do what was asked

Every message says what was found, where, and what to do. The command line prints it as one line and
exits with code 2.
"""

import difflib
from collections.abc import Iterable


class KgrecError(Exception):
    """Root of every error that kgrec raises on purpose."""

    def __str__(self) -> str:
        """Return the message unquoted, also where ``KeyError`` is among the bases."""
        return " ".join(str(part) for part in self.args)


class DataError(KgrecError, ValueError):
    """Something in a file or table cannot be used."""


class FormatError(DataError):
    """A line, a column or a whole file cannot be read; the message names file and line."""


class UnknownIdError(DataError, KeyError):
    """A user, item, entity or relation is not in the data; the message gives the nearest ones."""


class LinkError(DataError):
    """Item-to-entity links do not fit the items or the graph."""


class MissingFileError(DataError, FileNotFoundError):
    """A file or folder that was asked for is not there."""


class FetchError(DataError, OSError):
    """An address does not give what was asked for, or not within the limits."""


class GraphError(KgrecError, ValueError):
    """A graph breaks one of its invariants."""


class GraphNotFoundError(KgrecError, FileNotFoundError):
    """A bundled graph is not there; the message names the places searched."""


class ConfigError(KgrecError, ValueError):
    """A setting is unknown or out of range."""


class UnknownModelError(ConfigError, KeyError):
    """A model name is not in the catalog; the message gives the nearest one."""


class CheckpointError(KgrecError, ValueError):
    """A dataset or run folder is broken, foreign, or of another format version."""


class ModelError(KgrecError, TypeError):
    """A model class breaks the contract of ``Recommender``; the message names the hook."""


class ForkError(KgrecError, RuntimeError):
    """Work would wait for ever in this forked process, for threads that were not copied."""


class WorldError(KgrecError, RuntimeError):
    """Processes of one command hold different data, or one is gone; the message names the rank."""


class TrainingError(KgrecError, RuntimeError):
    """Training cannot go on."""


class DivergedError(TrainingError):
    """A loss became infinite or not a number; the message names the step and a remedy."""


class ExplanationError(KgrecError, ValueError):
    """An explanation cannot be given; the message says why."""


class CapabilityError(ExplanationError):
    """The model does not offer what was asked for."""


_MOST_CANDIDATES = 50_000


def nearest(word: str, known: Iterable[str], count: int = 3) -> str:
    """Return a phrase naming the known words nearest to ``word``, or an empty string.

    Only the first 50,000 candidates of similar length are compared, so that a typo in a large
    vocabulary costs well under a second.
    """
    close = []
    for candidate in known:
        if abs(len(candidate) - len(word)) <= max(3, len(word) // 2):
            close.append(candidate)
            if len(close) == _MOST_CANDIDATES:
                break

    if len(close) > 2_000:
        shared = [c for c in close if c[:1] == word[:1] or c[-1:] == word[-1:]]
        close = shared[:5_000]

    matches = difflib.get_close_matches(word[:200], close, n=count, cutoff=0.5)
    if not matches:
        lowered = {c.lower(): c for c in close}
        matches = [
            lowered[m]
            for m in difflib.get_close_matches(
                word.lower()[:200], list(lowered), n=count, cutoff=0.5
            )
        ]

    if matches:
        return f" Nearest: {', '.join(matches)}."

    return ""
