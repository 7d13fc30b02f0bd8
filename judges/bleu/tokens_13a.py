"""The 13a tokens of many texts at once, as 64-bit keys.

The texts become one byte buffer, where comparing neighbouring bytes tells where a token begins: many times
faster than regular expressions. Cuts as mteval-v13a does in sacrebleu (Post 2018, arXiv:1804.08771).

A token of up to seven bytes is its own key. A longer one is hashed, so two distinct long tokens share a key
with a chance of about 2^-64. The hash is not meant to resist an adversary.
"""

from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

END = b"\xff"  # ends each text: a byte that UTF-8 never uses
END_KEY = np.uint64(0xFFFF)
REWRITES = [(b"<skipped>", b""), (b"-\n", b"")]
ENTITIES = [(b"&quot;", b'"'), (b"&amp;", b"&"), (b"&lt;", b"<"), (b"&gt;", b">")]
# where str.split cuts; no white space lies higher
SPACES = [chr(code) for code in range(0x3001) if chr(code).isspace()]
IS_SPACE = np.isin(np.arange(1 << 16), [ord(c) for c in SPACES])

WORD, SPACE, SYMBOL, STOP, DIGIT, DASH, LEAD = 0, 1, 2, 4, 8, 16, 32
MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
CLOSERS = np.array([0xFF << 8 * n for n in range(8)] + [0], np.uint64)
LONGEST_MIXED = 63  # bytes; a longer token goes to blake2b


def _kinds() -> bytes:
    table = bytearray([WORD]) * 256
    members = {
        SPACE: "".join(SPACES).encode("ascii", "ignore"),
        SYMBOL: b'!"#$%&()*+/:;<=>?@[\\]^_`{|}~' + END,
        STOP: b".,",
        DIGIT: b"0123456789",
        DASH: b"-",
        LEAD: bytes({c.encode()[0] for c in SPACES if ord(c) > 127}),
    }
    for kind, characters in members.items():
        for byte in characters:
            table[byte] = kind
    return bytes(table)


KINDS = _kinds()


class Tokens(NamedTuple):
    """Token keys of several texts, END_KEY after each text, and each text's number of tokens."""

    keys: Keys
    lengths: Ints

    def owners(self) -> Ints:
        """For each key, the text it belongs to."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths + 1)

    def take(self, texts: Ints) -> "Tokens":
        """These texts in this order, perhaps several times."""
        sizes = self.lengths + 1
        begins = np.cumsum(sizes) - sizes
        taken = sizes[texts]
        shift = begins[texts] - (np.cumsum(taken) - taken)
        return Tokens(self.keys[np.arange(taken.sum()) + np.repeat(shift, taken)], taken - 1)


def tokenise(texts: pl.Series, *, rstrip: bool = False) -> Tokens:
    """Cut texts (String, no nulls) into tokens.

    rstrip strips each text's end first, as sacrebleu's BLEU does before it calls its tokenizer. It matters
    where a text ends in a dash and a line feed, which 13a would remove.
    """
    if rstrip:
        texts = texts.str.strip_chars_end("".join(SPACES))
    raw = END.join([*texts.cast(pl.Binary).to_list(), b""])
    for old, new in REWRITES + (ENTITIES if b"&" in raw else []):
        raw = raw.replace(old, new)
    raw = b" " + raw + b" " * 8  # so that neighbours and eight-byte reads stay inside
    kind = np.frombuffer(bytearray(raw.translate(KINDS)), np.uint8)
    _find_wide_spaces(np.frombuffer(raw, np.uint8), kind)
    edges = np.flatnonzero(_edges(kind))
    token = np.flatnonzero(kind[edges] != SPACE)
    keys = _keys(raw, edges[token], edges[token + 1])
    return Tokens(keys, np.diff(np.flatnonzero(keys == END_KEY), prepend=-1) - 1)


def _find_wide_spaces(data: Bytes, kind: Bytes) -> None:
    """Mark the white space beyond ASCII, which takes two or three bytes."""
    lead = np.flatnonzero(kind == LEAD)
    first, second, third = (data[lead + offset].astype(np.int64) for offset in range(3))
    wide = first >= 0xE0
    tail = second & 0x3F
    code = np.where(wide, (first & 0x0F) << 12 | tail << 6 | third & 0x3F, (first & 0x1F) << 6 | tail)
    space = IS_SPACE[code]
    kind[lead] = WORD
    for offset, found in enumerate((space, space, space & wide)):
        kind[lead[found] + offset] = SPACE


def _edges(kind: Bytes) -> npt.NDArray[np.bool_]:
    """Where tokens and spaces begin: symbols and stops (.,) stand alone, as does a dash after a digit."""
    alone = (kind & (SPACE | SYMBOL | STOP)) != 0
    edge = alone.copy()
    edge[1:] |= alone[:-1]
    dash = (kind[1:] == DASH) & (kind[:-1] == DIGIT)
    edge[1:] |= dash
    edge[2:] |= dash[:-1]
    # 13a pairs a stop with a character before it that is no digit, from left to right. The last of a run, if
    # unpaired, stays with a digit that follows: 1.5 is one token, a..5 is a . .5, a...5 is a . . . 5
    stops = np.flatnonzero(kind == STOP)
    firsts = stops[kind[stops - 1] != STOP]
    last = stops[kind[stops + 1] == DIGIT]
    first = firsts[np.searchsorted(firsts, last, "right") - 1]
    kept = (last - first + (kind[first - 1] == DIGIT)) % 2 == 1
    edge[last[kept] + 1] = False
    edge[last[kept & (first == last)]] = False
    return edge


def _keys(raw: bytes, begin: Ints, end: Ints) -> Keys:
    """A token's bytes and a closing byte as one number if they fit into 64 bits, otherwise their hash."""
    words: Keys = np.ndarray((len(raw) - 7,), "<u8", raw, strides=(1,))

    def read(at: Ints, left: Ints) -> Keys:
        left = np.minimum(left, 8)
        return words[at] & MASKS[left] | CLOSERS[left]

    length = end - begin
    keys = read(begin, length)
    long = np.flatnonzero(length >= 8)
    for offset in range(8, LONGEST_MIXED, 8):
        keys[long] = _mix(keys[long]) ^ read(begin[long] + offset, length[long] - offset)
        long = long[length[long] >= offset + 8]
    for i in long:
        keys[i] = int.from_bytes(blake2b(raw[begin[i] : end[i]], digest_size=8).digest(), "little")
    return keys


def _mix(x: Keys) -> Keys:
    """The finaliser of MurmurHash3: a bijection of 64-bit numbers in which each bit reaches all others."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        x = (x ^ (x >> np.uint64(33))) * np.uint64(factor)
    return x ^ (x >> np.uint64(33))
