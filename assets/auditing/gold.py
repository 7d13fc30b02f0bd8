"""Reading gold in any shape: what people or scores say of responses; each row used, tied, or left out for a reason."""

import glob
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.auditing.gold_columns import Choice, kept_of, named_in, shape_of
from pairwright.assets.auditing.gold_votes import Opinion, Rating, Voted, each_alone, of_ratings, together
from pairwright.assets.intake.columns import NO_COLUMNS, Columns
from pairwright.assets.intake.conform_rows import by_row
from pairwright.assets.intake.labelled_rows import POLICIES, PROMPT, RESPONSES, Labelled, labelled
from pairwright.assets.intake.readers import open_source
from pairwright.assets.intake.records import Part, Records
from pairwright.assets.intake.shapes import Shape, known_names
from pairwright.schemas.errors import SourceError, one_line, short
from pairwright.schemas.ids import prompt_id, response_id
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.sources import Source
from pairwright.schemas.tables import MESSAGES

ANY = Choice()
NO_GROUP = "(none)"
"""What pairs are grouped under that have no value in the column."""
BESIDE = pl.Struct({"reasoning": pl.String, "tool_calls": pl.String})
"""What a response has besides its text."""
_SCHEMA: dict[str, Any] = {
    "number": pl.UInt64,
    "prompt_id": pl.String,
    "id_a": pl.String,
    "id_b": pl.String,
    "prompt": MESSAGES,
    "typed": pl.String,
    "tools": pl.String,
    "response_a": pl.String,
    "response_b": pl.String,
    "beside_a": BESIDE,
    "beside_b": BESIDE,
    "references": pl.List(pl.String),
    "domain": pl.String,
    "won": pl.Float64,
    "votes": pl.List(pl.Struct({"annotator": pl.String, "won": pl.Float64})),
    "groups": pl.List(pl.String),
}


_READ = ("bad", "messages", "typed", "tools", "references", "domain", "answers")


class Gold(NamedTuple):
    """Labelled pairs, and what became of the rows that they were read from."""

    pairs: pl.DataFrame
    """number (from 1, in the order read), ids and texts, every vote, `won` (1 where most say a, 0 for b, null for a
    tie) and `groups`, the values of the column to report by."""
    rows: int
    left_out: dict[str, int]
    """Rows that come to no pair, by reason."""
    shape: str
    """What the rows are, in a few words."""
    annotators: list[str]
    """Who labelled, where a column or several scores say so."""


class _Row(NamedTuple):
    messages: list[dict[str, str]]
    typed: str | None
    tools: str | None
    references: list[str]
    domain: str | None
    groups: list[str]
    answers: dict[str, dict[str, Any]]
    """Its responses, by id."""


def find_gold(gold: Path, recipe: Recipe) -> Path:
    """Where gold lies: under the working directory, else beside the recipe. Raises SourceError naming both places."""
    places = list(dict.fromkeys([Path.cwd() / gold, recipe.path.parent.resolve() / gold]))
    for place in places:
        try:
            if place.exists() or glob.glob(str(place)):  # noqa: PTH207 - absolute patterns
                return place.resolve()
        except (OSError, ValueError):  # a name that is too long to be one
            continue
    raise SourceError(f"no gold at {one_line(' nor at '.join(map(str, places)))}")


def read_gold(path: Path, choice: Choice = ANY) -> Gold:
    """The labelled pairs of a file in any shape.

    Raises SourceError where no shape is recognised, for a column that is missing, and where no row can be used.
    """
    reader = _Reader(choice)
    wanted = {*known_names(), *named_in(choice), *([choice.by] if choice.by else [])}
    names: dict[str, None] = {}
    for part in open_source(Source(source=str(path)), Path()).each_part(also=wanted):
        names.update(dict.fromkeys(part.names))
        reader.read(part)
    if choice.by is not None and choice.by not in names:
        raise SourceError(f"{path}: no column {short(choice.by)} to group by; it has {one_line(', '.join(names))}")
    pairs = reader.pairs()
    if pairs.is_empty():
        why = "; ".join(f"{count:,}: {reason}" for reason, count in reader.reasons.most_common(3))
        raise SourceError(f"{path} holds no rows with a prompt, two responses and a label ({why or 'it is empty'})")
    shape = "; ".join(dict.fromkeys(one.told() for one in reader.shapes))
    return Gold(pairs, reader.count, dict(reader.reasons.most_common()), shape, reader.annotators())


class _Reader:
    """Gathers what the rows of all parts say."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.count = 0
        self.reasons: Counter[str] = Counter()
        self.shapes: list[Shape] = []
        self.rows: list[_Row] = []
        self.opinions: list[Opinion] = []
        self.ratings: list[Rating] = []
        self.voted: list[Voted] = []

    def read(self, part: Part) -> None:
        """Take in a part's rows."""
        if not part.names:
            return
        shape = shape_of(part, self.choice)
        self.shapes.append(shape)
        kept_as = kept_of(part, self.choice)
        wanted = {*shape.columns(), *kept_as.values(), *([self.choice.by] if self.choice.by else [])}
        for records in part.records(wanted):
            self._read(records, shape, kept_as)

    def _read(self, records: Records, shape: Shape, kept: Mapping[str, str]) -> None:
        objects = _objects(records, {*shape.columns(), *kept.values(), self.choice.by})
        forms: list[tuple[int, Any, str | None]] = []
        read: list[Labelled | None] = []
        for number, record, reason in objects:
            form, found = record, None
            if reason is None and isinstance(record, Mapping):
                try:
                    found = labelled(record, shape, f"{records.part}, row {number}: ")
                    form = found.record
                except ValueError as error:
                    reason = str(error)
            forms.append((number, form, reason))
            read.append(found)
        rows = by_row(forms, _columns(kept)).select(_READ)
        for (_, record, _), found, row in zip(objects, read, rows.iter_rows(named=True), strict=True):
            self.count += 1
            why = row["bad"] or self._take(row, found, shape, record)
            if why:
                self.reasons[why] += 1

    def _take(self, row: dict[str, Any], found: Labelled | None, shape: Shape, record: Any) -> str | None:
        """Keep what a row says; why it says nothing, if so."""
        assert found is not None
        prompt = prompt_id(row["messages"], row["typed"], row["tools"])
        answers = [{name: one[name] for name in ("text", "reasoning", "tool_calls")} for one in row["answers"]]
        ids = [response_id(prompt, *one.values()) for one in answers]
        failures = [*(one.failure for one in found.votes), *(one.failure for one in found.scores)]
        failure = next(filter(None, failures), None)
        votes = [one for one in found.votes if one.won is not None]
        scores = [] if shape.compares else [one for one in found.scores if one.value is not None]
        if not votes and not scores:
            return failure or f"{shape.label or ', '.join(shape.scores) or shape.ranks or 'a score'} is missing"
        number = len(self.rows)
        groups = _groups(record.get(self.choice.by)) if self.choice.by else []
        told = {name: row[name] for name in _Row._fields if name in row}
        self.rows.append(_Row(**(told | {"groups": groups, "answers": dict(zip(ids, answers, strict=True))})))
        sides = [(ids[one.first], ids[one.second]) for one in votes]
        said = [
            Opinion(prompt, *pair, one.annotator, float(one.won or 0.0), number)
            for pair, one in zip(sides, votes, strict=True)
        ]
        if shape.annotator:
            self.opinions += said
        else:
            self.voted += each_alone(said)
        self.ratings += [Rating(prompt, ids[one.place], one.name, float(one.value or 0.0), number) for one in scores]
        return None

    def pairs(self) -> pl.DataFrame:
        """Every pair with its votes."""
        for voted, left_out in (together(self.opinions), of_ratings(self.ratings)):
            self.voted += voted
            self.reasons.update(left_out)
        answers = {key: answer for row in self.rows for key, answer in row.answers.items()}
        rows = [self._pair(number, one, answers) for number, one in enumerate(self.voted, start=1)]
        return pl.DataFrame(rows, schema=_SCHEMA)

    def _pair(self, number: int, one: Voted, answers: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        row, first, second = self.rows[one.row], answers[one.first], answers[one.second]
        return {
            "number": number,
            "prompt_id": one.prompt,
            "id_a": one.first,
            "id_b": one.second,
            "prompt": row.messages,
            "typed": row.typed,
            "tools": row.tools,
            "response_a": first["text"],
            "response_b": second["text"],
            "beside_a": first,
            "beside_b": second,
            "references": row.references,
            "domain": row.domain,
            "won": one.won,
            "votes": one.votes,
            "groups": row.groups,
        }

    def annotators(self) -> list[str]:
        """Who labelled; nobody where no column says so."""
        named = {one.annotator for one in self.opinions} | {one.name for one in self.ratings}
        return sorted(named) if self.opinions or len(named) > 1 else []


def _objects(records: Records, wanted: set[str | None]) -> list[tuple[int, Any, str | None]]:
    if records.frame is None:
        return records.objects
    frame = records.frame.select(name for name in records.frame.columns if name in wanted)
    return [(number, row, None) for number, row in enumerate(frame.to_dicts(), start=records.first)]


def _columns(kept: Mapping[str, str]) -> Columns:
    """Only the columns that gold may have: what else a file says of a prompt is no reason to tell its rows apart."""
    return NO_COLUMNS._replace(
        prompt=PROMPT,
        responses=[RESPONSES],
        policies=POLICIES,
        system=kept.get("system"),
        own_system="system" not in kept,
        tools=kept.get("tools"),
        references=[name for field, name in kept.items() if field == "references"],
        texts={field: name for field, name in kept.items() if field == "domain"},
    )


def _groups(value: Any) -> list[str]:
    """The groups of a pair: its value, or each value of a list."""
    if isinstance(value, list):
        return sorted({label for one in value for label in _groups(one)}) or [NO_GROUP]
    if value is None:
        return [NO_GROUP]
    return [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)]
