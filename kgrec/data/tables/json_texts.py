"""Texts as JSON writes them, without white space and characters that cannot be seen."""

import json


def escaped(key: str) -> str:
    r"""Return a key without white space and characters that cannot be seen.

    ``unescaped`` gives it back.

    >>> print(escaped("two words"), escaped('"'))
    two\u0020words \"
    """
    return json.dumps(key)[1:-1].replace(" ", "\\u0020")


def unescaped(text: str) -> str:
    """Return the key that was escaped.

    Raises:
        ValueError: If the text is not as ``escaped`` writes it.
    """
    key = json.loads(f'"{text}"')
    if not isinstance(key, str):
        raise ValueError(text)

    key.encode()  # half a surrogate pair is a ValueError
    return key
