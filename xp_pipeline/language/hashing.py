"""The bucket of every row of a Polars frame."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from xp_pipeline.language import buckets, kernels, rules
from xp_pipeline.language.rules import Rule

if TYPE_CHECKING:
    from xp_pipeline.language.program import Program

_ASCII = 127
_WIDEST = 512
_MD5 = {"v1": (8, rules.V1_RANGE), "v2": (13, 2**52)}


def bucket(program: Program, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """u over the program's splitters; null where the rule gives none."""
    rule, salt = program.rule, program.salt
    texts = [_splitter(name, schema[name], rule) for name in _hashed(program)]
    if rule == "v2":
        salt, key = salt + buckets.SEPARATOR, pl.concat_str(texts, separator=buckets.SEPARATOR)
    else:
        key = pl.concat_str(texts) if len(texts) > 1 else texts[0]
    return key.map_batches(lambda keys: hashed(rule, salt, keys), return_dtype=pl.Float64, is_elementwise=True)


def _hashed(program: Program) -> Sequence[str]:
    return sorted(program.splitters) if program.rule == "v1" else program.splitters


def _splitter(name: str, dtype: pl.DataType, rule: Rule) -> pl.Expr:
    """A splitter's text in the rule; null where the rule has none."""
    column = pl.col(name)
    if rule == "growthbook":
        return _growthbook_text(column, dtype)
    if rule == "v2":
        return column.cast(pl.String)
    if dtype == pl.Boolean:
        column = pl.when(column).then(pl.lit("True")).when(column.not_()).then(pl.lit("False"))
    return column.cast(pl.String).fill_null("None")


def _growthbook_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Boolean:
        return pl.lit(None, dtype=pl.String)
    if not dtype.is_integer():
        text = column.cast(pl.String)
        return pl.when(text != "").then(text)
    return column.map_batches(_javascript_integers, return_dtype=pl.String, is_elementwise=True)


def _javascript_integers(values: pl.Series) -> pl.Series:
    """Decimal texts, rounded as doubles where an integer is beyond them."""
    least, most = values.min(), values.max()
    if least is None or (int(least) >= -(2**53) and int(most) <= 2**53):  # type: ignore[arg-type]
        return values.cast(pl.String)
    return values.map_elements(rules.javascript_integer, return_dtype=pl.String)


def hashed(rule: Rule, prefix: str, keys: pl.Series) -> pl.Series:
    """The bucket of each key; null for a null.

    Args:
        rule: Whose hash.
        prefix: What every key begins with.
        keys: The rest of each key, as text.
    """
    if not len(keys):
        return pl.Series(keys.name, [], dtype=pl.Float64)
    texts = _texts(keys)
    apart = _apart(rule, keys, texts)
    if apart.any():
        texts = _texts(pl.select(pl.when(apart.not_()).then(keys).otherwise(pl.lit(""))).to_series())
    found = kernels.fnv(texts, prefix) if rule == "growthbook" else _md5(rule, prefix, texts)
    for row in apart.arg_true():
        found[row] = _one(rule, prefix, keys[row])
    made = pl.Series(keys.name, found)
    return made.set(keys.is_null(), None) if keys.null_count() else made


def _apart(rule: Rule, keys: pl.Series, texts: kernels.Texts) -> pl.Series:
    """The rows that no kernel takes: texts that would make a block too wide, or that hash by UTF-16 code unit."""
    unicode = rule == "growthbook" and len(texts.data) > 0 and texts.data.max() > _ASCII
    if not unicode and np.diff(texts.offsets).max() <= _WIDEST:
        return pl.Series([], dtype=pl.Boolean)
    sizes = keys.str.len_bytes()
    apart = (sizes > _WIDEST) | (sizes != keys.str.len_chars()) if unicode else sizes > _WIDEST
    return apart.fill_null(value=False)


def _md5(rule: Rule, prefix: str, texts: kernels.Texts) -> np.ndarray[Any, Any]:
    digits, total = _MD5[rule]
    return kernels.md5_numbers(texts, prefix.encode(), digits) / total


def _one(rule: Rule, prefix: str, key: str) -> float | None:
    if rule == "growthbook":
        return rules.bucket_growthbook(prefix, key)
    digits, total = _MD5[rule]
    return int(hashlib.md5((prefix + key).encode(), usedforsecurity=False).hexdigest()[:digits], 16) / total


def _texts(keys: pl.Series) -> kernels.Texts:
    """The buffers of a text column; a null counts as an empty text."""
    array: Any = keys.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    made = kernels.of_buffers(data or b"", offsets)
    begin = array.offset
    return kernels.Texts(made.data, made.offsets[begin : begin + len(array) + 1])
