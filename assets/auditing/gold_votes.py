"""From what annotators, scores and rankings say to gold: pairs with every vote and what most of them say."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, NamedTuple

from pairwright.schemas.errors import one_line

VOTE = {"annotator": str, "won": float}


class Opinion(NamedTuple):
    """What one annotator says of two responses of a prompt."""

    prompt: str
    first: str
    second: str
    annotator: str
    won: float
    """1 where the first is better, 0 where the second is, one half for a tie."""
    row: int
    """Of gold, whose texts and groups the pair takes."""


class Rating(NamedTuple):
    """What one score says of a response."""

    prompt: str
    response: str
    name: str
    value: float
    row: int


class Voted(NamedTuple):
    """A pair with its votes, each for the side as it stands here."""

    prompt: str
    first: str
    second: str
    votes: list[dict[str, Any]]
    row: int

    @property
    def won(self) -> float | None:
        """What most votes say: 1, 0, or None for a tie, which it is too where no word has most of them."""
        counts = Counter(vote["won"] for vote in self.votes).most_common()
        if len(counts) > 1 and counts[0][1] == counts[1][1]:
            return None
        return None if counts[0][0] == 0.5 else float(counts[0][0])


def each_alone(opinions: Iterable[Opinion]) -> list[Voted]:
    """Every row a pair of its own: where nobody says who labelled it, equal pairs are no second opinions."""
    return [
        Voted(one.prompt, one.first, one.second, [{"annotator": one.annotator, "won": one.won}], one.row)
        for one in opinions
    ]


def together(opinions: Iterable[Opinion]) -> tuple[list[Voted], dict[str, int]]:
    """The votes of each pair by annotator, in whichever order its sides stood; and rows left out, by reason.

    An annotator who says different things of a pair has said nothing.
    """
    pairs: dict[frozenset[str], dict[str, list[Opinion]]] = {}
    for one in opinions:
        pairs.setdefault(frozenset((one.first, one.second)), {}).setdefault(one.annotator, []).append(one)
    found, left_out = [], Counter[str]()
    for by_annotator in pairs.values():
        head = next(iter(by_annotator.values()))[0]
        votes = []
        for annotator, several in by_annotator.items():
            said = {one.won if one.first == head.first else 1 - one.won for one in several}
            if len(said) == 1:
                votes.append({"annotator": annotator, "won": said.pop()})
            else:
                left_out[f"annotator {one_line(annotator, 40)!r} labels the same pair differently"] += len(several)
        if votes:
            found.append(Voted(head.prompt, head.first, head.second, votes, head.row))
    return found, dict(left_out)


def of_ratings(ratings: Iterable[Rating]) -> tuple[list[Voted], dict[str, int]]:
    """All pairs of a prompt's responses that the same score rates, each score an annotator; and what was left out."""
    values: dict[str, dict[str, dict[str, set[float]]]] = {}
    rows: dict[str, int] = {}
    for one in ratings:
        rows.setdefault(one.prompt, one.row)
        values.setdefault(one.prompt, {}).setdefault(one.response, {}).setdefault(one.name, set()).add(one.value)
    found, left_out = [], Counter[str]()
    for prompt, responses in values.items():
        told = {response: _single(of, left_out) for response, of in responses.items()}
        for first, second in combinations(told, 2):
            shared = [name for name in told[first] if name in told[second]]
            votes = [{"annotator": name, "won": _better(told[first][name], told[second][name])} for name in shared]
            if votes:
                found.append(Voted(prompt, first, second, votes, rows[prompt]))
        if len(told) == 1:
            left_out["no other response to the prompt has a score"] += 1
    return found, dict(left_out)


def _single(scores: Mapping[str, set[float]], left_out: Counter[str]) -> dict[str, float]:
    for name, values in scores.items():
        if len(values) > 1:
            left_out[f"{one_line(name, 40)} has different values for the same response"] += len(values)
    return {name: next(iter(values)) for name, values in scores.items() if len(values) == 1}


def _better(first: float, second: float) -> float:
    return 0.5 if first == second else float(first > second)
