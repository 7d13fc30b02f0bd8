"""Where a recipe's rows come from, and which of their columns hold what."""

import re
import unicodedata
from typing import Literal

from pydantic import field_validator

from pairwright.schemas.errors import short
from pairwright.schemas.label_columns import LabelColumns
from pairwright.schemas.options import Part

Columns = str | list[str]
HUB_DATASET = r"hf://(?!.*(--|\.\.))([A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_]([\w.-]{0,94}[A-Za-z0-9_])?(?<!\.git)"
"""What the Hub takes for a data set's id."""


class ColumnMap(LabelColumns):
    """Which column of the source holds what. Left out: the column of the same name, where the source has one; an empty
    text or list takes none. `tools`, `images`, `audios`, `videos`, `reasoning` and `tool_calls` are taken only where
    they are named, since they make other prompts and responses of the same texts."""

    prompt: str | None = None
    """Text of the user's turn, or a list of messages that ends before the assistant's turn: {role, content}, or as
    ShareGPT has them {from, value}, with content parts, tool calls and reasoning where there are such."""
    tools: str | None = None
    """The tools that the prompt carries: a list of JSON Schemas, or a JSON text of it."""
    images: str | None = None
    """Images of the conversation, one or a list: paths below the source's folder, data URIs, bytes, or addresses, which
    stay such. Each takes the place of the next `<image>` in the text or image part without a file; those that nothing
    stands for go before the first user's text."""
    audios: str | None = None
    """The same with sounds, for `<audio>`."""
    videos: str | None = None
    """The same with films, for `<video>`."""
    system: str | None = None
    """System prompt, put before the prompt. A conversation that begins with a system turn keeps that alone, unless the
    recipe names this column."""
    references: Columns | None = None
    """One or several columns of gold answers, each a text or a list of texts."""
    response: str | None = None
    """Long form: one response a row."""
    responses: Columns | None = None
    """Wide form: a list of responses a row, or several columns with one response each. A response is a text, or the
    assistant's message."""
    reasoning: str | None = None
    """What was thought before a response, a text; in wide form a list of them, for a list of responses."""
    tool_calls: str | None = None
    """The tool calls of a response, a list; in wide form a list of such lists."""
    policy: str | None = None
    """Long form: the column that names the model which wrote the response."""
    policies: str | list[str] | None = None
    """Wide form: the column with the list of model names, or the names themselves, in the order of `responses`."""
    steps: str | None = None
    """A response's steps of reasoning, a list of texts; in wide form a list of such lists. They go on to the rankings
    and to the `trl-stepwise` export. Without `response` and `responses`, a row's response is its steps, a line each."""
    step_labels: str | None = None
    """Whether each of the `steps` is right: true or false, or 1 or 0."""
    tests: str | None = None
    """Unit tests of a code prompt."""
    source: str | None = None
    """Where the prompt comes from."""
    license: str | None = None
    """Licence of the prompt."""
    domain: str | None = None
    """Kind of task."""
    tags: Columns | None = None
    """Labels, a text or a list of texts."""
    split: str | None = None
    """Where the source decides it: `train`, `validation` or `test`, in any case and also as their usual names (`dev`,
    `val`, `eval`; `heldout`; `test_prefs`). Rows with another name are rejected. Empty: by the prompt's id."""

    def named(self) -> list[str]:
        """Every column that the recipe names."""
        apart = {"policies": list, "labels": dict, "scores": dict}
        values = [value for field, value in self if not isinstance(value, apart.get(field, ()))]
        if not self.completions:  # else they name fields of these
            values += self.scores.values()
        return [name for value in values for name in ([value] if isinstance(value, str) else value or []) if name]


class Source(Part):
    """A file or dataset with prompts, responses, or both."""

    source: str
    """Parquet, JSON Lines (.jsonl, .ndjson, also .gz and .zst) or CSV file, a glob of such files, a folder written by
    `datasets`, the folder of a release's version (its pairs where `chosen` is named, else its rankings), or
    hf://org/name. Relative paths start at the recipe's folder."""
    columns: ColumnMap = ColumnMap()
    split: str = "train"
    """Split of a Hub dataset."""
    config: str | None = None
    """Configuration of a Hub dataset."""
    revision: str | None = None
    """Commit or tag of a Hub dataset."""
    on_bad_row: Literal["reject", "fail"] = "reject"
    """A bad row goes to the rejects table with its number and the reason, or stops the build."""

    @field_validator("source")
    @classmethod
    def _can_be_a_name(cls, source: str) -> str:
        if source.startswith("hf://"):
            if not re.fullmatch(HUB_DATASET, source):
                raise ValueError(f"{short(source)} is no data set on the Hub; write hf://organisation/name")
        elif not source.strip() or any(unicodedata.category(char) == "Cc" for char in source):
            raise ValueError(f"{short(source)} is no name of a file; name a file, a pattern, a folder or hf://org/name")
        elif len(source.encode()) > 4_000 or any(len(part.encode()) > 255 for part in source.split("/")):
            raise ValueError(f"{short(source)} is longer than a file's name can be")
        return source
