"""Words of a text in any language.

Runs of letters and digits; single characters where a script writes no spaces.
"""

import re

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
# Vowel signs and accents written as characters of their own, which \w leaves out.
_MARKS = (
    "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f\u0591-\u05c7"
    "\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
)
_LETTER = rf"(?:[^\W_{_UNSPACED}]|[{_MARKS}])"
_WORD = re.compile(rf"[{_UNSPACED}]|{_LETTER}+(?:['\u2019.&]{_LETTER}+)*")


def words_in(text: str) -> list[tuple[str, int, int]]:
    """Return the words of a text in order, each as written, with its first character and the one
    behind its last.

    A word is a run of letters and digits of any script; an apostrophe, dot or ampersand between two
    of them stays inside. Every Chinese character and Japanese kana is a word of its own, as is
    every letter of Thai, Lao, Burmese and Khmer.

    >>> words_in("U.S. AT&T don't: 東京!")
    [('U.S', 0, 3), ('AT&T', 5, 9), ("don't", 10, 15), ('東', 17, 18), ('京', 18, 19)]
    """
    return [(found.group(), found.start(), found.end()) for found in _WORD.finditer(text)]
