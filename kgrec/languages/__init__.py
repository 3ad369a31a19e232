"""The words of explanations: a table of sentences per language, how relations read, and titles.

``en.toml`` and the files beside it hold every fixed sentence; whoever shows explanations in a
language, a page too, takes the words from ``language(code)``.
"""

from kgrec.languages.language import DEFAULT, LANGUAGES, LIKED, Language, check_language, language
from kgrec.languages.repair import repaired
from kgrec.languages.titles import ambiguous, may_tell_apart, spoken, title_of

__all__ = [
    "DEFAULT",
    "LANGUAGES",
    "LIKED",
    "Language",
    "ambiguous",
    "check_language",
    "language",
    "may_tell_apart",
    "repaired",
    "spoken",
    "title_of",
]
