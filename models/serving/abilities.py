"""What a server can do, asked once per endpoint and kept in a file, so that a build trusts nothing it has not seen."""

from pathlib import Path
from typing import Any

import orjson

from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.fields import check, features_of, refused_in
from pairwright.models.serving.finding import Finding
from pairwright.models.serving.reply_store import ReplyStore, Spent
from pairwright.schemas.errors import BudgetError, JudgeError, StoreError
from pairwright.schemas.files import replacing
from pairwright.schemas.ids import digest

TOKENS = 100
"""What one probe takes, about."""


def lacking(
    endpoint: Endpoint, features: set[str], replies: ReplyStore, path: str = "/chat/completions"
) -> dict[str, Finding]:
    """The features that a server was found to be without: by what is kept, else by probing, at most once.

    What a server leaves open counts as there: each reply is checked all the same. Nobody probes on a spent budget, nor
    a server that cannot be reached: the calls that follow tell that better. Raises JudgeError where the server refuses
    a field that the recipe asks for.
    """
    known = _known(endpoint, features, replies, path)
    check(endpoint, refused_in(endpoint.fields(), known))
    return {name: one for name, one in known.items() if name in features and one.state == "no"}


def refused(endpoint: Endpoint, replies: ReplyStore, path: str) -> list[str]:
    """The fields that calls go without since their server refuses them; raises JudgeError as `lacking` does."""
    found = refused_in(endpoint.fields(), _known(endpoint, set(), replies, path))
    check(endpoint, found)
    return list(found)


def _known(endpoint: Endpoint, features: set[str], replies: ReplyStore, path: str) -> dict[str, Finding]:
    """What is known of features, and of the fields that calls carry, once it was looked for."""
    known = replies.seen | read(replies.findings, endpoint)
    unknown = (features | features_of(endpoint.fields()).keys()) - known.keys()
    if unknown and _has_room(endpoint, replies):
        from pairwright.models.serving.probe import probe  # and with it the client, which takes long to import

        try:
            found = probe(endpoint, unknown, path, refused_in(endpoint.fields(), known))
        except JudgeError:
            found = []
        known |= keep(replies.findings, endpoint, found)
        replies.seen |= known
    return known


def keep(file: Path | None, endpoint: Endpoint, found: list[Finding]) -> dict[str, Finding]:
    """Keep what was found out, in place of what was known; that part of it, by feature."""
    sure = {one.feature: one for one in found if one.state != "unknown"}
    if file is not None and sure:
        if file.is_dir():
            raise StoreError(f"{file} is a folder, where what servers can do is to be kept; move it away")
        everything = _everything(file)
        mine = everything.setdefault(_key(endpoint), {})
        mine |= {name: [one.state, one.detail] for name, one in sure.items()}
        with replacing(file) as aside:
            aside.write_bytes(orjson.dumps(everything, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    return sure


def read(file: Path | None, endpoint: Endpoint) -> dict[str, Finding]:
    """What is kept of an endpoint, by feature."""
    mine = _everything(file).get(_key(endpoint), {}) if file is not None else {}
    return {name: Finding(name, *one) for name, one in mine.items()}


def _everything(file: Path) -> dict[str, Any]:
    """What is kept of all endpoints; a lost or damaged file costs a few probes."""
    try:
        found = orjson.loads(file.read_bytes())
        return {
            key: {name: (one[0], str(one[1])) for name, one in mine.items() if one[0] in ("yes", "no")}
            for key, mine in found.items()
        }
    except (OSError, orjson.JSONDecodeError, AttributeError, TypeError, LookupError):
        return {}


def _key(endpoint: Endpoint) -> str:
    """Of an endpoint: what a model refuses may depend on how much it is to think, and on whatever else is asked."""
    further = [endpoint.reasoning_effort, endpoint.extra]
    told = [orjson.dumps(further, option=orjson.OPT_SORT_KEYS)] if any(further) else []
    return digest("endpoint", endpoint.base_url, endpoint.model, *told)


def _has_room(endpoint: Endpoint, replies: ReplyStore) -> bool:
    most = Spent(1, TOKENS, endpoint.cost(TOKENS, TOKENS))
    try:
        free = replies.budget.reserve(most)
    except BudgetError:
        return False
    if free:
        replies.budget.settle(most, Spent())
    return free
