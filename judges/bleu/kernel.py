"""Sentence BLEU and unigram F1 of every response against its prompt's references, a table at a time.

References are cut into tokens once for all responses of a prompt. An n-gram is found by extending an
(n-1)-gram that is shared already, so that most of a response is done with after its first two orders.
Counts are integers and the rest is elementwise: a score depends on its own texts alone, to the last bit,
whatever the batch or the threads.

N-grams are numbered exactly; only tokens of eight bytes or more are hashed. Two distinct ones of a prompt are
taken for one with a chance of about 2^-64: below 1e-14 for a prompt with 325 words in all its texts.

BLEU: Papineni et al. 2002 (ACL); smoothing of the nmt variant: Lin and Och 2004 (COLING); BLEU as an
annotator: BLEUBERI, Chang et al. 2025 (arXiv:2505.11080).
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from pairwright.judges.bleu.tokens_13a import END_KEY, Ints, Tokens, tokenise

Variant = Literal["nmt", "sacrebleu"]
References = Literal["joint", "mean"]
Floats = npt.NDArray[np.float64]

ORDERS = 4
CHUNK_BYTES = 1 << 18  # fastest measured: a chunk costs some calls, but its arrays stay in the cache
ROW_BYTES = 64  # what a text costs beside its bytes, so that empty ones fill a chunk too


def sentence_bleu(
    prompts: pl.DataFrame,
    responses: pl.DataFrame,
    *,
    variant: Variant = "nmt",
    references: References = "joint",
) -> pl.DataFrame:
    """Sentence BLEU of each response whose prompt has a reference.

    prompts has prompt_id (unique) and references (a list of strings, perhaps empty or null); responses has
    prompt_id, response_id (unique) and text; both in any order. Returns prompt_id, response_id and score
    (Float64), sorted by the two ids. Responses without a reference or with a null text are absent; a null
    within references does not count as one.

    variant nmt, 0 to 1: Hugging Face's bleu with smooth=True, which adds one to the matches and the total of
    every order and measures brevity against the shortest reference. 0 if the response or every reference is
    without tokens; one empty reference among others makes the shortest length 0, so that no response is too
    short. variant sacrebleu, 0 to 100: that library's BLEU(effective_order=True).sentence_score.
    references: joint scores against all at once, mean averages the scores against each.

    Raises ValueError on an unknown variant or references, polars' ComputeError if prompts repeats a
    prompt_id.
    """
    _check("variant", variant, Variant)
    _check("references", references, References)
    formula = _nmt if variant == "nmt" else _sacrebleu

    def mean(chunk: Chunk) -> Floats:
        pairs = chunk.pairs()
        # bincount adds in the order of the references, hence the same bits in any batch
        return np.bincount(pairs.response, formula(chunk.split(pairs))) / pairs.sizes

    return _score(prompts, responses, formula if references == "joint" else mean, rstrip=variant == "sacrebleu")


def unigram_f1(prompts: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """F1 (0 to 1) of the tokens a response shares, as a multiset, with its best-matching reference.

    Tables and errors as in sentence_bleu.
    """

    def best(chunk: Chunk) -> Floats:
        pairs = chunk.pairs()
        split = chunk.split(pairs)
        tokens = split.responses.lengths + split.references.lengths[split.response_group]
        return np.maximum.reduceat(2 * _matches(split, 1)[0] / np.maximum(tokens, 1), pairs.begins)

    return _score(prompts, responses, best, rstrip=False)


def _check(option: str, value: str, allowed: object) -> None:
    if value not in get_args(allowed):
        raise ValueError(f"{option} is {value!r}; it must be one of {', '.join(get_args(allowed))}")


class Pairs(NamedTuple):
    """Every response with every reference of its group; where a response's pairs begin, and how many."""

    response: Ints
    reference: Ints
    begins: Ints
    sizes: Ints


class Chunk(NamedTuple):
    """Responses and references by group. Groups count from 0, and a group's references are neighbours."""

    responses: Tokens
    response_group: Ints
    references: Tokens
    reference_group: Ints

    def pairs(self) -> Pairs:
        """Every response with every reference of its group."""
        group_sizes = np.bincount(self.reference_group)
        sizes = group_sizes[self.response_group]
        begins = np.cumsum(sizes) - sizes
        shift = (np.cumsum(group_sizes) - group_sizes)[self.response_group] - begins
        response = np.repeat(np.arange(len(sizes)), sizes)
        return Pairs(response, np.arange(len(response)) + shift[response], begins, sizes)

    def split(self, pairs: Pairs) -> "Chunk":
        """A chunk with a row for each pair, each reference being a group of its own."""
        own = np.arange(len(self.reference_group))
        return Chunk(self.responses.take(pairs.response), pairs.reference, self.references, own)


def _score(
    prompts: pl.DataFrame, responses: pl.DataFrame, score: Callable[[Chunk], Floats], *, rstrip: bool
) -> pl.DataFrame:
    prompts = (
        prompts.select("prompt_id", pl.col("references").cast(pl.List(pl.String)).list.drop_nulls())
        .filter(pl.col("references").list.len() > 0)
        .join(responses, on="prompt_id", how="semi")
        .sort("prompt_id")
        .with_row_index("group")
    )
    rows = (
        responses.filter(pl.col("text").is_not_null())
        .join(prompts.select("prompt_id", "group"), on="prompt_id", validate="m:1")
        .select("prompt_id", "response_id", "text", pl.col("group").cast(pl.Int64))
        .sort("group", "response_id")
    )
    scores = [score(chunk) for chunk in _chunks(prompts["references"], rows, rstrip=rstrip)]
    return rows.select("prompt_id", "response_id", pl.Series("score", np.concatenate([np.empty(0), *scores])))


def _chunks(references: pl.Series, rows: pl.DataFrame, *, rstrip: bool) -> Iterator[Chunk]:
    """Cut the rows into chunks of about CHUNK_BYTES, or of one row, each with all references it needs."""
    group = rows["group"].to_numpy()
    n_references = references.list.len().to_numpy().astype(np.int64)
    reference_bytes = references.list.eval(pl.element().str.len_bytes() + ROW_BYTES).list.sum().to_numpy()
    # a response counts as often as a mean repeats it, the references where their first response stands
    cost = (rows["text"].str.len_bytes().to_numpy() + ROW_BYTES) * n_references[group]
    cost = cost + reference_bytes[group] * (np.diff(group, prepend=-1) > 0)
    cuts = np.flatnonzero(np.diff(np.cumsum(cost) // CHUNK_BYTES, prepend=-1, append=-1))
    for begin, end in pairwise(cuts):
        first, last = group[begin], group[end - 1]
        yield Chunk(
            tokenise(rows["text"][begin:end], rstrip=rstrip),
            group[begin:end] - first,
            tokenise(references[first : last + 1].explode(), rstrip=rstrip),
            np.repeat(np.arange(last - first + 1), n_references[first : last + 1]),
        )


def _matches(chunk: Chunk, orders: int) -> Ints:
    """How many n-grams of each response its group's references have: orders x responses.

    An n-gram counts at most as often as in the reference that has it most often.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = np.concatenate([chunk.references.keys, chunk.responses.keys])
    vocabulary = pc.unique(pa.array(chunk.references.keys))
    word = pc.index_in(pa.array(keys), vocabulary).fill_null(-1).to_numpy().astype(np.int64)
    word[keys == END_KEY] = -1
    n_references = len(chunk.references.lengths)
    owner = np.concatenate([chunk.references.owners(), chunk.responses.owners() + n_references])
    found = np.zeros((orders, n_references + len(chunk.responses.lengths)), np.int64)
    # gram numbers what is shared so far at a place: the group, then an n-gram, which the next word extends
    at = np.arange(len(word))
    gram = np.concatenate([chunk.reference_group, chunk.response_group])[owner]
    for n in range(orders):
        going = np.flatnonzero(word[at + n] >= 0)
        at = at[going]
        gram, at = _sort(gram[going] * len(vocabulary) + word[at + n], at)
        text = owner[at]
        new = np.diff(gram, prepend=-1) != 0
        gram = np.cumsum(new) - 1
        runs = np.flatnonzero(new | (np.diff(text, prepend=-1) != 0))
        run_gram, run_text, count = gram[runs], text[runs], np.diff(runs, append=len(at))
        limit = np.zeros(np.count_nonzero(new), np.int64)
        np.maximum.at(limit, run_gram, np.where(run_text < n_references, count, 0))
        np.add.at(found[n], run_text, np.minimum(count, limit[run_gram]))
        shared = np.flatnonzero(limit[gram])
        at, gram = at[shared], gram[shared]
    return found[:, n_references:]


def _sort(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Sort pairs of natural numbers; packed into one number each where they fit, which is much faster."""
    bits = int(second.max(initial=0)).bit_length()
    if int(first.max(initial=0)).bit_length() + bits < 64:
        packed = np.sort(first << bits | second)
        return packed >> bits, packed & ((1 << bits) - 1)
    order = np.lexsort((second, first))
    return first[order], second[order]


def _nmt(chunk: Chunk) -> Floats:
    length = chunk.responses.lengths
    begins = np.flatnonzero(np.diff(chunk.reference_group, prepend=-1))
    shortest = np.minimum.reduceat(chunk.references.lengths, begins)[chunk.response_group]
    longest = np.maximum.reduceat(chunk.references.lengths, begins)[chunk.response_group]
    log_sum = np.zeros(len(length))
    for n, match in enumerate(_matches(chunk, ORDERS)):
        log_sum += np.log((match + 1) / (np.maximum(length - n, 0) + 1))
    brevity = np.exp(np.minimum(1 - shortest / np.maximum(length, 1), 0))
    return np.where((length > 0) & (longest > 0), brevity * np.exp(log_sum / ORDERS), 0.0)


def _sacrebleu(chunk: Chunk) -> Floats:
    length = chunk.responses.lengths
    pairs = chunk.pairs()
    # the closest reference length, of two as close the shorter, as one number to minimise
    ref_length = chunk.references.lengths[pairs.reference]
    base = ref_length.max() + 1
    distance = np.abs(length[pairs.response] - ref_length)
    closest = np.minimum.reduceat(distance * base + ref_length, pairs.begins) % base
    matches = _matches(chunk, ORDERS)
    log_sum, halving = np.zeros(len(length)), np.ones(len(length))
    for n, match in enumerate(matches):
        halving = np.where(match == 0, halving * 2, halving)
        precision = 100 * np.where(match == 0, 1 / halving, match) / np.maximum(length - n, 1)
        log_sum += np.where(length > n, np.log(precision), 0.0)
    brevity = np.exp(np.minimum(1 - closest / np.maximum(length, 1), 0))
    return np.where(matches[0] > 0, brevity * np.exp(log_sum / np.clip(length, 1, ORDERS)), 0.0)
