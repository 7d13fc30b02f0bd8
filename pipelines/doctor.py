"""`pairwright doctor`: asks each server of a recipe for what the recipe needs of it, and says what to change."""

from typing import NamedTuple

from pairwright.assets.route import routers_of
from pairwright.assets.sample import policies_of
from pairwright.judges.llm.base import LlmJudge
from pairwright.judges.llm.endpoint import Endpoint
from pairwright.judges.llm.probe import Finding, probe
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.recipe import Recipe


class Checked(NamedTuple):
    """A part of the recipe with what its server showed."""

    name: str
    model: str
    url: str
    findings: list[Finding]

    @property
    def fit(self) -> bool:
        """Whether the recipe can be built as it stands: what falls back by itself does not count against it."""
        return all(one.state == "yes" or one.feature in {"n", "schema"} for one in self.findings)


def needs(recipe: Recipe) -> list[tuple[str, Endpoint, set[str]]]:
    """Name, endpoint and needed features of every policy and judge that calls a server."""
    found: list[tuple[str, Endpoint, set[str]]] = []
    for policy in policies_of(recipe):
        wanted = {"n": policy.samples > 1, "logprobs": policy.logprobs}
        found.append((policy.name, policy, {name for name, yes in wanted.items() if yes}))
    for router in routers_of(recipe):
        found.append((router.name, router, {"schema"} if router.structured else set()))
    for judge in recipe.judges:
        if isinstance(judge, LlmJudge):
            wanted = {"schema": judge.structured, "logprobs": judge.logprobs}
            found.append((judge.name, judge, {name for name, yes in wanted.items() if yes}))
    return found


def examine(recipe: Recipe) -> list[Checked]:
    """Probe what each part of the recipe needs; a server that cannot be reached is a finding, not an error."""
    checked = []
    for name, endpoint, features in needs(recipe):
        try:
            findings = probe(endpoint, features)
        except JudgeError as error:
            findings = [Finding("chat", "no", str(error))]
        checked.append(Checked(name, endpoint.model, endpoint.base_url, findings))
    return checked
