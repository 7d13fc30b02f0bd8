"""The tables of work that is paid for, in time or money, each with the failures that there were instead."""

import polars as pl

from pairwright.schemas.dataframely import dy
from pairwright.schemas.tables import id_column


class Domains(dy.Schema):
    """The domain that a router has put a prompt into, or the reason why there is none."""

    prompt_id = id_column(primary_key=True)
    domain = dy.String(nullable=True)
    rationale = dy.String(nullable=True)
    failure = dy.String(nullable=True)
    retry = dy.Bool(nullable=False)
    raw = dy.String(nullable=True)
    cost_usd = dy.Float64(nullable=True, min=0.0)

    @dy.rule()
    def sorted_or_failed(cls) -> pl.Expr:
        return cls.domain.col.is_null() == cls.failure.col.is_not_null()


class Likelihoods(dy.Schema):
    """A causal model's pass over one response, or the reason why there is none. What nobody asked for is null.

    `evidence` is the prompt's domain, where that changes what the model is shown, or nothing.
    """

    prompt_id = id_column(primary_key=True)
    response_id = id_column(primary_key=True)
    evidence = dy.String(nullable=False, primary_key=True)
    logprob = dy.Float64(nullable=True, allow_inf=False, allow_nan=False)
    """Natural log-probability of the response's tokens, summed; the end of the turn apart."""
    tokens = dy.UInt32(nullable=True)
    end_logprob = dy.Float64(nullable=True, allow_inf=False, allow_nan=False)
    """Of the token that ends the turn; null where the model has none."""
    prompt_tokens = dy.UInt32(nullable=True)
    truncated = dy.Bool(nullable=True)
    """Whether the prompt was cut on the left."""
    token_ids = dy.List(dy.UInt32(nullable=False), nullable=True)
    token_logprobs = dy.List(dy.Float64(nullable=False), nullable=True)
    gram = dy.List(
        dy.Struct(
            {"other": dy.String(nullable=False), "sums": dy.Float64(nullable=False), "last": dy.Float64(nullable=False)}
        ),
        nullable=True,
    )
    """Inner products with every response of the prompt: of summed hidden states (tokens + 1 of them), of the last."""
    follow_ups = dy.List(
        dy.Struct(
            {
                "utterance": dy.String(nullable=False),
                "logprob": dy.Float64(nullable=False),
                "tokens": dy.UInt32(nullable=False),
            }
        ),
        nullable=True,
    )
    """Empty where there was no room for them behind the response."""
    failure = dy.String(nullable=True)
    retry = dy.Bool(nullable=False)

    @dy.rule()
    def read_or_failed(cls) -> pl.Expr:
        return cls.logprob.col.is_null() == cls.failure.col.is_not_null()


class Scores(dy.Schema):
    """A judge's score of one response, or the reason why there is none.

    `evidence` names what the judge read besides conversation and response: the ids of the references, or nothing.
    """

    prompt_id = id_column(primary_key=True)
    response_id = id_column(primary_key=True)
    evidence = dy.String(nullable=False, primary_key=True)
    fingerprint = dy.String(nullable=False, primary_key=True)
    criterion = dy.String(nullable=False, primary_key=True)
    round = dy.UInt16(nullable=False, primary_key=True)
    score = dy.Float64(nullable=True, allow_inf=False, allow_nan=False)
    failure = dy.String(nullable=True)
    retry = dy.Bool(nullable=False)
    rationale = dy.String(nullable=True)
    raw = dy.String(nullable=True)
    confidence = dy.Float64(nullable=True, min=0.0, max=1.0)
    cost_usd = dy.Float64(nullable=True, min=0.0)

    @dy.rule()
    def scored_or_failed(cls) -> pl.Expr:
        return cls.score.col.is_null() == cls.failure.col.is_not_null()


class Comparisons(dy.Schema):
    """A judge's verdict on two responses of a prompt, in id order."""

    prompt_id = id_column(primary_key=True)
    response_a = id_column(primary_key=True)
    response_b = id_column(primary_key=True)
    evidence = dy.String(nullable=False, primary_key=True)
    fingerprint = dy.String(nullable=False, primary_key=True)
    criterion = dy.String(nullable=False, primary_key=True)
    round = dy.UInt16(nullable=False, primary_key=True)
    p_a = dy.Float64(nullable=True, min=0.0, max=1.0)
    per_order = dy.List(dy.Float64(nullable=True), nullable=False)
    failure = dy.String(nullable=True)
    retry = dy.Bool(nullable=False)
    rationale = dy.String(nullable=True)
    raw = dy.String(nullable=True)
    confidence = dy.Float64(nullable=True, min=0.0, max=1.0)
    cost_usd = dy.Float64(nullable=True, min=0.0)

    @dy.rule()
    def in_id_order(cls) -> pl.Expr:
        return cls.response_a.col < cls.response_b.col

    @dy.rule()
    def judged_or_failed(cls) -> pl.Expr:
        return cls.p_a.col.is_null() == cls.failure.col.is_not_null()


class Replies(dy.Schema):
    """A server's reply as it came, kept before it was read. `key` names the request: what is asked about what."""

    prompt_id = id_column(primary_key=True)
    key = dy.String(nullable=False, primary_key=True)
    attempt = dy.UInt32(nullable=False, primary_key=True)
    body = dy.String(nullable=False)
    prompt_tokens = dy.UInt32(nullable=False)
    completion_tokens = dy.UInt32(nullable=False)
    cost_usd = dy.Float64(nullable=False, min=0.0)
    seconds = dy.Float64(nullable=False, min=0.0)
    reasoning_tokens = dy.UInt32(nullable=True)
    """Of the completion's; null where the server tells of none."""
    adopted = dy.Bool(nullable=True)
    """Whether it was taken over from another layout or data set, whose books it stands in."""
    retry = dy.Bool(nullable=False)


class Samples(dy.Schema):
    """What a policy wrote for a prompt as its `number`-th sample, or the reason why it did not."""

    prompt_id = id_column(primary_key=True)
    number = dy.UInt32(nullable=False, primary_key=True)
    fingerprint = dy.String(nullable=False, primary_key=True)
    text = dy.String(nullable=True)
    """The answer; and before it the reasoning, where neither the server nor the recipe tells the two apart."""
    reasoning = dy.String(nullable=True)
    """As the server sent it beside the answer, or cut out of the text as the recipe says that it is marked."""
    tool_calls = dy.String(nullable=True)
    finish_reason = dy.String(nullable=True)
    logprob = dy.Float64(nullable=True, allow_inf=False, allow_nan=False)
    prompt_tokens = dy.UInt32(nullable=True)
    completion_tokens = dy.UInt32(nullable=True)
    sampling = dy.String(nullable=False)
    failure = dy.String(nullable=True)
    retry = dy.Bool(nullable=False)
    raw = dy.String(nullable=True)
    cost_usd = dy.Float64(nullable=True, min=0.0)

    @dy.rule()
    def written_or_failed(cls) -> pl.Expr:
        return cls.text.col.is_null() == cls.failure.col.is_not_null()
