"""Deterministic orders: of rows, of texts, and of one row per key."""

import math

import numpy as np
import polars as pl

_BITS = 62
_LARGEST = 1 << _BITS
_MANY = 100_000
_BLOCK = 1 << 18
_WORD = 8  # bytes that are compared at once


def row_order(*keys: np.ndarray) -> np.ndarray:
    """Return the positions (int64) of rows sorted by the first key, then by the next.

    Rows that agree in all keep their order.

    Whole numbers are sorted together with their positions as one int64, several times as fast as
    ``numpy.lexsort``.

    Args:
        keys: Numbers, one array per key; NaN comes last.
    """
    joined = _joined(keys)
    if joined is not None:
        return _stable_order(joined)

    order: np.ndarray | None = None
    for key in reversed(keys):
        step = _stable_order(key if order is None else key[order])
        if order is None:
            order = step
        else:
            order = order[step]

    assert order is not None
    return order


def _joined(keys: tuple[np.ndarray, ...]) -> np.ndarray | None:
    """Return one whole number per row in whose order the keys are, None where 62 bits are not
    enough for it.
    """
    if len(keys) < 2 or not len(keys[0]) or any(key.dtype.kind not in "iu" for key in keys):
        return None

    lows = [int(key.min()) for key in keys]
    sizes = [int(key.max()) - low + 1 for key, low in zip(keys, lows, strict=True)]
    if math.prod(sizes) > _LARGEST or max(map(abs, lows)) > _LARGEST:
        return None

    joined = keys[0].astype(np.int64)
    if lows[0]:
        joined -= lows[0]
    for key, low, size in zip(keys[1:], lows[1:], sizes[1:], strict=True):
        joined *= size
        joined += key.astype(np.int64, copy=False)  # of uint64 as well, which do not add in place
        if low:
            joined -= low

    return joined


def _stable_order(key: np.ndarray) -> np.ndarray:
    if (key[1:] >= key[:-1]).all():
        return np.arange(len(key))

    bits = len(key).bit_length()
    if key.dtype.kind == "f" and not _are_whole(key):
        return np.argsort(key, kind="stable")

    low = int(key.min())
    high = int(key.max())
    if max(-low, high) >= _LARGEST or bits > _BITS // 2 - 1:
        return np.argsort(key, kind="stable")
    if (high - low) << bits < _LARGEST:
        return _packed_order(key.astype(np.int64), low, bits)

    wide = key.astype(np.int64, copy=False)
    return _wide_order(wide - low if low else wide, high - low, bits)


def _wide_order(key: np.ndarray, high: int, bits: int) -> np.ndarray:
    """Return the stable order of whole numbers from 0 to ``high``, too wide for one number beside
    the position: by the upper bits, then where these are equal by those below.
    """
    below = high.bit_length() - (_BITS - bits)
    upper = _packed(key >> below, 0, bits)
    order = upper & ((1 << bits) - 1)
    upper >>= bits
    new = np.r_[True, upper[1:] != upper[:-1]]
    tied = np.flatnonzero(~(new & np.r_[new[1:], True]))
    if len(tied):
        rows = order[tied]
        group = np.cumsum(new[tied])
        order[tied] = rows[row_order(group, key[rows] & ((1 << below) - 1))]
    return order


def _packed_order(key: np.ndarray, low: int, bits: int) -> np.ndarray:
    """Return the stable order of whole numbers from ``low`` on, in the memory of the key, which is
    overwritten.
    """
    order = _packed(key, low, bits)
    order &= (1 << bits) - 1
    return order


def _packed(key: np.ndarray, low: int, bits: int) -> np.ndarray:
    """Return the numbers from ``low`` on sorted, the position of each in the ``bits`` below it, in
    the memory of the key.
    """
    if low:
        key -= low
    key <<= bits
    for start in range(0, len(key), _BLOCK):
        key[start : start + _BLOCK] |= np.arange(start, min(start + _BLOCK, len(key)))

    key.sort()
    return key


def _are_whole(key: np.ndarray) -> bool:
    return bool(
        np.isfinite(key).all()
        and max(-key.min(), key.max()) < _LARGEST
        and (key == np.floor(key)).all()
    )


def text_order(texts: pl.Series) -> np.ndarray:
    """Return the positions (int64) of distinct texts, shorter ones first, those of one length by
    their bytes in UTF-8.

    So whole numbers are in the order of their values, 9 before 10, Q9 before Q10: data sets often
    number by first use, and rows that are used together stay together, which the caches of a
    processor thank with a tenth of a training step.

    Many long texts that begin alike, as IRIs do, are compared eight bytes at a time, only where
    they are not told apart yet.
    """
    length = texts.str.len_bytes().to_numpy().astype(np.int64)
    if len(texts) < _MANY:
        by_bytes = texts.arg_sort().to_numpy().astype(np.int64)
        return by_bytes[np.argsort(length[by_bytes], kind="stable")]

    data = texts.cast(pl.Binary)
    order = row_order(length)
    group = length[order]
    open_ = np.arange(len(texts))  # positions in the order whose text still equals a neighbor's
    depth = _common(str(texts.min()).encode(), str(texts.max()).encode())

    while len(open_):
        rows = order[open_]
        groups = group[open_]
        if len(rows) == len(texts):  # where they are, not in an order that jumps about in memory
            code = _code(data, depth)[rows]
        else:
            code = _code(data.gather(rows), depth)

        parted = (groups[1:] == groups[:-1]) & (code[1:] != code[:-1])
        if parted.any():
            by = np.argsort(code)
            by = by[row_order(groups[by])]
            rows = rows[by]
            code = code[by]
            order[open_] = rows

        new = np.r_[True, (groups[1:] != groups[:-1]) | (code[1:] != code[:-1])]
        group[open_] = np.cumsum(new)
        open_ = open_[~(new & np.r_[new[1:], True])]
        depth += _WORD

    return order


def _common(one: bytes, other: bytes) -> int:
    """Return how many bytes two texts have in common at their beginning."""
    differs = (
        position
        for position, (groups, another) in enumerate(zip(one, other, strict=False))
        if groups != another
    )
    return next(differs, min(len(one), len(other)))


def _code(texts: pl.Series, depth: int) -> np.ndarray:
    """Return the eight bytes of each text from ``depth`` on as a number, zeros for those behind
    its end.
    """
    part = texts.bin.slice(depth, _WORD)
    if (part.bin.size() < _WORD).any():
        part = (part + pl.Series([bytes(_WORD)])).bin.slice(0, _WORD)
    return part.bin.reinterpret(dtype=pl.UInt64, endianness="big").to_numpy()


def numbered(column: pl.Series) -> tuple[pl.Series, np.ndarray]:
    """Return the distinct texts of a column, sorted, and the number (int32) of each cell among
    them.
    """
    keys = column.unique().rename("key")
    keys = keys.gather(text_order(keys))
    rows = pl.DataFrame({"key": keys, "row": np.arange(len(keys), dtype=np.int32)})
    found = column.to_frame("key").join(rows, on="key", how="left", maintain_order="left")["row"]
    return keys, found.to_numpy()


def one_per_key(frame: pl.DataFrame, key: str, *by: str) -> pl.DataFrame:
    """Return one row per key where it is.

    Of several with one key the first by the columns ``by``, empty cells last.

    No order of the rows decides which one stays.
    """
    if not frame[key].is_duplicated().any():
        return frame

    # Most repeat each other whole: what is left to sort is a fraction, often nothing.
    rows = frame.select(key, *by).insert_column(0, pl.Series("own row", np.arange(frame.height)))
    rows = rows.unique([key, *by], keep="first", maintain_order=True)
    if rows[key].is_duplicated().any():
        rows = rows.sort(*by, nulls_last=True, maintain_order=True)
        rows = rows.unique(key, keep="first", maintain_order=True).sort("own row")
    return frame[rows["own row"]]
