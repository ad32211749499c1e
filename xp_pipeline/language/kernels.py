"""The hashes of the bucket rules over whole columns of bytes, in numpy.

Texts lie in a flat buffer with offsets, as Arrow keeps them. They are worked on in blocks that fit the processor's
cache: a block becomes a matrix of fixed width, a row a text, and each step of the hash is one operation on a column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xp_pipeline.language.rules import FNV_OFFSET, FNV_PRIME, GROWTHBOOK_RANGE, fnv1a32

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]
Offsets = npt.NDArray[np.int64]

_FNV_BLOCK = 16_384
_MD5_BLOCK = 4_096
_TAIL = np.uint32(100_000)
_POWERS = 10 ** np.arange(9, 0, -1, dtype=np.uint32)
_SHIFTS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_SINES = [int(abs(math.sin(i + 1)) * 2**32) for i in range(64)]
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)


class Texts(NamedTuple):
    """A column of byte strings: text i is ``data[offsets[i]:offsets[i + 1]]``."""

    data: Bytes
    offsets: Offsets


def fnv(texts: Texts, seed: str) -> npt.NDArray[np.float64]:
    """Rule growthbook of ASCII texts: FNV-1a of seed and text, and again of that number's decimal text."""
    found = np.empty(len(texts.offsets) - 1, dtype=np.float64)
    state = np.uint32(fnv1a32(seed))
    for rows, matrix, lengths in _blocks(texts, _FNV_BLOCK):
        first = _fnv_rows(matrix, lengths, state)
        found[rows] = _fnv_decimal(first) % GROWTHBOOK_RANGE / GROWTHBOOK_RANGE
    return found


def _blocks(texts: Texts, size: int) -> Iterator[tuple[slice, Bytes, Offsets]]:
    """Blocks of rows as matrices of one column per byte position, padded with zeros, and their lengths."""
    count = len(texts.offsets) - 1
    for begin in range(0, count, size):
        bounds = texts.offsets[begin : begin + size + 1]
        lengths = np.diff(bounds)
        width = int(lengths.max())
        data = texts.data[bounds[0] : bounds[-1]]
        yield slice(begin, begin + len(lengths)), _matrix(data, lengths, width), lengths


def _matrix(data: Bytes, lengths: Offsets, width: int) -> Bytes:
    """One row per text."""
    if width * len(lengths) == len(data):
        return data.reshape(len(lengths), width)
    matrix = np.zeros((len(lengths), width), dtype=np.uint8)
    matrix[np.arange(width) < lengths[:, None]] = data
    return matrix


def _fnv_rows(matrix: Bytes, lengths: Offsets, state: np.uint32) -> Words:
    hashed = np.full(len(lengths), state, dtype=np.uint32)
    shortest = int(lengths.min())
    prime = np.uint32(FNV_PRIME)
    for position, column in enumerate(np.ascontiguousarray(matrix.T)):
        if position < shortest:
            hashed ^= column
            hashed *= prime
        else:
            hashed = np.where(lengths > position, (hashed ^ column) * prime, hashed)
    return hashed


def _fnv_decimal(numbers: Words) -> Words:
    """FNV-1a of the decimal texts of numbers: the first digits from a table, the last five one by one."""
    head = numbers // _TAIL
    hashed = _heads().take(head)
    _fnv_digits(hashed, numbers - head * _TAIL, _POWERS[-4:])
    short = head == 0
    if short.any():
        hashed[short] = _fnv_short(numbers[short])
    return hashed


def _fnv_digits(hashed: Words, numbers: Words, powers: Words) -> None:
    """Goes on with the digits of numbers, leading zeros included."""
    rest, prime, zero = numbers, np.uint32(FNV_PRIME), np.uint32(ord("0"))
    for power in powers:
        digit = rest // power
        rest = rest - digit * power
        digit += zero
        hashed ^= digit
        hashed *= prime
    hashed ^= rest + zero
    hashed *= prime


@cache
def _heads() -> Words:
    """The hash of every number that remains of 32 bits without the last five digits."""
    return _fnv_short(np.arange(2**32 // int(_TAIL) + 1, dtype=np.uint32))


def _fnv_short(numbers: Words) -> Words:
    """The same of numbers of any length, by the number of their digits."""
    hashed = np.full(len(numbers), FNV_OFFSET, dtype=np.uint32)
    for digits in range(1, 11):
        rows = np.flatnonzero((numbers >= (10 ** (digits - 1) if digits > 1 else 0)) & (numbers < 10**digits))
        part = hashed[rows]
        _fnv_digits(part, numbers[rows], _POWERS[len(_POWERS) - digits + 1 :])
        hashed[rows] = part
    return hashed


def md5_numbers(texts: Texts, prefix: bytes, digits: int) -> npt.NDArray[np.int64]:
    """The first hexadecimal digits (at most 15) of the MD5 of prefix and text, as integers (RFC 1321)."""
    found = np.empty(len(texts.offsets) - 1, dtype=np.int64)
    for rows, matrix, lengths in _blocks(texts, _MD5_BLOCK):
        a, b = _md5(_padded(matrix, lengths, prefix), (lengths + len(prefix) + 8) // 64 + 1)
        high = a.byteswap().astype(np.int64) << 28 | b.byteswap().astype(np.int64) >> 4
        found[rows] = high >> 4 * (15 - digits)
    return found


def _padded(matrix: Bytes, lengths: Offsets, prefix: bytes) -> Words:
    """Messages with MD5's end mark and length in bits: one row of words per position, one column per text."""
    sizes = lengths + len(prefix)
    blocks = (sizes + 8) // 64 + 1
    padded = np.zeros((len(sizes), 64 * int(blocks.max())), dtype=np.uint8)
    padded[:, : len(prefix)] = np.frombuffer(prefix, dtype=np.uint8)
    padded[:, len(prefix) : len(prefix) + matrix.shape[1]] = matrix
    rows = np.arange(len(sizes))
    padded[rows, sizes] = 0x80
    words = padded.view("<u4")
    words[rows, 16 * blocks - 2] = (sizes << 3) & 0xFFFFFFFF
    words[rows, 16 * blocks - 1] = sizes >> 29
    return np.ascontiguousarray(words.T, dtype=np.uint32)


def _md5(words: Words, blocks: Offsets) -> tuple[Words, Words]:
    """The first two words of the digest; a text ends after its own number of blocks."""
    state = [np.full(words.shape[1], word, dtype=np.uint32) for word in _START]
    for block in range(len(words) // 16):
        added = _md5_block(words[16 * block : 16 * block + 16], *state)
        running = blocks > block
        state = [
            old + new if running.all() else np.where(running, old + new, old)
            for old, new in zip(state, added, strict=True)
        ]
    return state[0], state[1]


def _md5_block(words: Words, *state: Words) -> tuple[Words, ...]:
    a, b, c, d = (word.copy() for word in state)
    mixed, turned = np.empty_like(a), np.empty_like(a)
    for step in range(64):
        word = _mix(step, b, c, d, mixed)
        mixed += a
        mixed += np.uint32(_SINES[step])
        mixed += words[word]
        shift = np.uint32(_SHIFTS[step // 16][step % 4])
        np.right_shift(mixed, np.uint32(32) - shift, out=turned)
        np.left_shift(mixed, shift, out=mixed)
        mixed |= turned
        mixed += b
        a, b, c, d, mixed = d, mixed, b, c, a
    return a, b, c, d


def _mix(step: int, b: Words, c: Words, d: Words, out: Words) -> int:
    """The round's function of three words, into ``out``; gives the word of the message it goes with."""
    if step < 16:
        np.bitwise_xor(c, d, out=out)
        np.bitwise_and(out, b, out=out)
        np.bitwise_xor(out, d, out=out)
        return step
    if step < 32:
        np.bitwise_xor(b, c, out=out)
        np.bitwise_and(out, d, out=out)
        np.bitwise_xor(out, c, out=out)
        return (5 * step + 1) % 16
    if step < 48:
        np.bitwise_xor(b, c, out=out)
        np.bitwise_xor(out, d, out=out)
        return (3 * step + 5) % 16
    np.invert(d, out=out)
    np.bitwise_or(out, b, out=out)
    np.bitwise_xor(out, c, out=out)
    return 7 * step % 16


def of_buffers(data: Any, offsets: Any) -> Texts:
    """Texts over Arrow's buffers of a large string column, without copying."""
    return Texts(np.frombuffer(data, dtype=np.uint8), np.frombuffer(offsets, dtype=np.int64))
