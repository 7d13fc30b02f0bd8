"""The density ratio of a strong over a weak model as a reward (customised density ratio, CDR).

r = log p_strong(y|x) - log p_weak(y|x), summed over the response and the end of its turn. An instruction and exemplars
per domain may go before the query, the same for both models and for all responses of a prompt.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from pairwright.judges.base import Batch, Judge
from pairwright.judges.domains import Domain, Rule, customised
from pairwright.judges.likelihood.scores import gain, length, side_by_side, verdicts
from pairwright.judges.router import Router
from pairwright.models.local.request import PLAIN, Context, PassRequest
from pairwright.schemas.kinds import Runtime
from pairwright.schemas.models import CausalModel


class DensityRatio(Judge):
    """How much more probable a response is to the strong model than to the weak one, in nats."""

    kind: Literal["density-ratio"] = "density-ratio"
    reads: ClassVar[tuple[Literal["references", "domain"], ...]] = ("domain",)
    strong: CausalModel
    """The better model, such as one after preference training."""
    weak: CausalModel
    """The lesser one, such as the same before it. Its tokenizer may be another."""
    score: Literal["sum", "mean"] = "sum"
    """Which of the two columns is the judge's score; mean divides by the strong model's tokens."""
    count_end: bool = True
    """Whether the token that ends the turn counts."""
    domains: dict[str, Domain] = Field(default={})
    """What goes before the query, by domain; a prompt of none of them gets the first one's."""
    rules: list[Rule] = Field(default=[])
    """The first rule whose pattern the prompt matches names its domain; without rules, the prompt's column does."""
    router: Annotated[Router | None, Runtime] = None
    """A model that sorts prompts whose column names none of the domains; rules leave nothing to sort. Another router
    leaves the verdicts valid of prompts that it puts into the same domain."""
    shots: Annotated[int, Field(ge=0)] = 1
    """Exemplars of the domain that are shown, drawn by the prompt's id."""

    @model_validator(mode="after")
    def _rules_name_domains(self) -> "DensityRatio":
        for rule in self.rules:
            if rule.domain not in self.domains:
                raise ValueError(f"rules name domain {rule.domain!r}; domains has {', '.join(self.domains) or 'none'}")
        return self

    @model_validator(mode="after")
    def _router_knows_domains(self) -> "DensityRatio":
        if self.router and self.rules:
            raise ValueError("rules and a router both name a prompt's domain; leave out one of them")
        if self.router and set(self.router.domains) != set(self.domains):
            names = ", ".join(sorted(self.router.domains))
            raise ValueError(f"router.domains has {names}; it must have those of domains: {', '.join(self.domains)}")
        return self

    def headline(self) -> str:
        """The sum or the mean."""
        return self.score

    def needs(self) -> tuple[PassRequest, ...]:
        """Both models' sums, on the customised prompt."""
        context = self._context()
        return PassRequest(self.strong, context), PassRequest(self.weak, context)

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """Two rows a response, criteria `sum` and `mean`."""
        strong, weak = self.needs()
        frame = side_by_side(work, strong=strong, weak=weak)
        ratio = gain("strong", "weak", count_end=self.count_end)
        yield from verdicts(frame, sum=ratio, mean=ratio / length("strong", count_end=self.count_end))

    def _context(self) -> Context:
        return customised(self.domains, self.rules, self.shots, self.router) if self.domains else PLAIN
