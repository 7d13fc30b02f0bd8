"""`pairwright doctor`: asks each server of a recipe for what the recipe needs of it, and says what to change."""

from collections.abc import Set
from pathlib import Path
from typing import NamedTuple

from pairwright.assets.judging.domains import routers_of
from pairwright.assets.judging.likelihood import name as likelihood_name
from pairwright.assets.judging.likelihood import passes
from pairwright.assets.sampling.policies.served import ServedPolicy
from pairwright.assets.sampling.pool import policies_of
from pairwright.assets.storage.reply_ledger import findings_file
from pairwright.judges.llm.base import LlmJudge
from pairwright.models.local.server import endpoint_of, stated_limit
from pairwright.models.serving.abilities import keep
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.fields import TAKES, consequence, features_of, spared
from pairwright.models.serving.finding import Finding
from pairwright.models.serving.probe import probe
from pairwright.models.serving.probe_batch import probe_batch
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.recipe import Recipe

FALLS_BACK = frozenset({"limits", "n", "schema"})
"""What a build does without, where a server lacks it."""


class Checked(NamedTuple):
    """A part of the recipe with what its server showed."""

    name: str
    model: str
    url: str
    findings: list[Finding]
    falls_back: frozenset[str] = FALLS_BACK

    @property
    def fit(self) -> bool:
        """Whether the recipe can be built as it stands: what falls back by itself does not count against it."""
        return all(one.state == "yes" or one.feature in self.falls_back for one in self.findings)


class Asked(NamedTuple):
    """What a part of the recipe needs of a server."""

    name: str
    endpoint: Endpoint
    features: set[str]
    path: str = "/chat/completions"
    falls_back: frozenset[str] = FALLS_BACK


def needs(recipe: Recipe) -> list[Asked]:
    """Of every policy, judge and served model."""
    found = []
    for policy in (one for one in policies_of(recipe) if isinstance(one, ServedPolicy)):
        wanted = {"n": policy.samples > 1, "logprobs": policy.logprobs, "batch": policy.transport == "batch"}
        wanted["limits"] = policy.transport == "live"
        found.append(_asked(policy.name, policy, wanted, policy.path))
    for router in routers_of(recipe):
        wanted = {"schema": router.structured, "batch": router.transport == "batch"}
        found.append(_asked(router.name, router, wanted))
    for judge in recipe.judges:
        if isinstance(judge, LlmJudge):
            wanted = {"schema": judge.structured, "logprobs": bool(judge.logprobs)}
            wanted |= {"batch": judge.transport == "batch", "limits": judge.transport == "live"}
            spare = {"logprobs"} if judge.logprobs == "optional" else set()
            found.append(_asked(judge.name, judge, wanted, spare=spare))
    for need in passes(recipe):
        if need.model.base_url:
            features = {"echo"} if need.model.max_tokens else {"echo", "context"}
            found.append(Asked(likelihood_name(need), endpoint_of(need.model), features))
    return found


def _asked(
    name: str,
    endpoint: Endpoint,
    wanted: dict[str, bool],
    path: str = "/chat/completions",
    spare: Set[str] = frozenset(),
) -> Asked:
    """What is wanted of the server, and that it takes the fields that calls carry."""
    features = {one for one, yes in wanted.items() if yes} | features_of(endpoint.fields()).keys()
    return Asked(name, endpoint, features, path, FALLS_BACK | spare | spared(endpoint))


def _context(endpoint: Endpoint) -> Finding:
    """What `max_tokens` of a served model has to be, where the recipe does not say."""
    told = stated_limit(endpoint)
    fix = f"the server's limit is {told}: set max_tokens: {told}" if told else "set max_tokens to the model's context"
    return Finding("context", "no", f"where texts are cut is for the recipe to say; {fix}")


def examine(recipe: Recipe, data: Path | None = None) -> list[Checked]:
    """Probe what each part of the recipe needs; a server that cannot be reached is a finding, not an error.

    What is found out is kept in the data directory for builds, in place of what was known.
    """
    checked = []
    for one in needs(recipe):
        try:
            findings = probe(one.endpoint, one.features - {"batch", "context"}, one.path)
            if "context" in one.features:
                findings.append(_context(one.endpoint))
            if "batch" in one.features:
                findings.append(probe_batch(one.endpoint, one.path))
        except JudgeError as error:
            findings = [Finding("chat", "no", str(error))]
        if data is not None:
            keep(findings_file(data), one.endpoint, findings)
        told = [one for one in findings if not (one.state == "yes" and one.feature.startswith(TAKES))]
        findings = [consequence(one.endpoint, finding) for finding in told]
        checked.append(Checked(one.name, one.endpoint.model, one.endpoint.base_url, findings, one.falls_back))
    return checked
