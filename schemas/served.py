"""A model behind a server, as a recipe writes it: which one answers, how it is asked, and where it is.

Only what can change an answer is part of a fingerprint.
"""

import json
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from pairwright.schemas.errors import short
from pairwright.schemas.kinds import Runtime
from pairwright.schemas.naming import with_named

OWNED = {
    "model": "model", "messages": "", "prompt": "", "input": "", "temperature": "temperature", "top_p": "top_p",
    "max_tokens": "max_tokens", "max_completion_tokens": "max_tokens", "seed": "seed", "n": "samples", "stop": "stop",
    "logprobs": "logprobs", "top_logprobs": "logprobs", "response_format": "structured", "echo": "", "stream": "",
    "stream_options": "", "tools": "", "reasoning_effort": "reasoning_effort",
}  # fmt: skip
"""Fields of a request that are set here, and the option that sets each, if any."""
CLIENTS = {"extra_body", "extra_headers", "extra_query"}
"""What the protocol's client calls further fields; servers know none of them."""
SECRET_KEYS = {
    "apikey", "xapikey", "authorization", "auth", "accesstoken", "authtoken", "bearer", "bearertoken", "token",
    "secret", "secretkey", "clientsecret", "accesskey", "privatekey", "password", "passwd", "credential", "credentials",
    "cookie", "headers",
}  # fmt: skip
"""Keys under which a secret would stand, without their dashes."""
SECRET_VALUE = re.compile(r"^(sk-|gsk_|hf_|xai-|AIza|Bearer )[\w-]{12,}")
HEADER = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
CLIENT_HEADERS = {
    "accept", "accept-encoding", "connection", "content-length", "content-type", "expect", "host", "te",
    "transfer-encoding", "upgrade",
}  # fmt: skip
"""Headers that the client itself sets."""


Modality = Literal["text", "image", "audio", "video"]


class Thinking(BaseModel):
    """How a model marks what it thinks before it answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    open: str = "<think>"
    """Begins the reasoning, at the beginning of the text; empty where the chat template has opened it already, so that
    every text begins inside of it."""
    close: Annotated[str, Field(min_length=1)] = "</think>"
    """Ends it; the answer follows."""


class Price(BaseModel):
    """USD per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Annotated[float, Field(ge=0)] = 0.0
    """Of the prompt."""
    output: Annotated[float, Field(ge=0)] = 0.0
    """Of the completion."""
    batch: Annotated[float, Field(ge=0, le=1)] = 1.0
    """What `transport: batch` takes of these prices: 0.5 for half."""

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """USD for one call."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


def _headers_by_variable(value: dict[str, str]) -> dict[str, str]:
    for name, variable in value.items():
        if not HEADER.match(name) or name.lower() in CLIENT_HEADERS:
            raise ValueError(f"headers_env names the header {short(name)}, which cannot be set; leave it out")
        if name.lower() == "authorization":
            raise ValueError("headers_env names the header Authorization, which api_key_env sets; use that")
        if not VARIABLE.match(variable):
            raise ValueError(
                f"headers_env.{name}: what stands there is no name of an environment variable; put the value into one, "
                "and write its name"
            )
    return value


HeadersByVariable = Annotated[dict[str, str], AfterValidator(_headers_by_variable), Runtime]
"""Names of headers, and of the environment variables that hold their values."""


class ServedModel(BaseModel):
    """Options of everything that calls a model on a server that speaks the OpenAI protocol."""

    model: Annotated[str, Field(min_length=1)]
    """Name of the model, as the server knows it."""
    revision: str = ""
    """Part of the fingerprint only: change it when the server starts to serve other weights under the same name."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Of sampling."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of sampling."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Longest answer, reasoning included; one that reaches it counts as truncated."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Sent with each call and used for every shuffle."""
    reasoning_effort: Annotated[str | None, Field(pattern=r"^[a-z]+$")] = None
    """How much a reasoning model thinks, in the server's words (none, minimal, low, medium, high …); sent if set."""
    thinking: Thinking | None = None
    """How reasoning is marked in the text of a reply, for a server that does not send it apart. What it sends apart
    (`reasoning_content`, `reasoning`) is taken from there without it."""
    extra: dict[str, Any] = {}
    """Further fields of every request, such as `top_k`, `min_p` or `chat_template_kwargs: {enable_thinking: false}`."""
    base_url: Annotated[str, Runtime] = "https://api.openai.com/v1"
    """Where the server is."""
    api_key_env: Annotated[str | None, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), Runtime] = None
    """Name of the environment variable that holds the key; the key itself never stands in a recipe. Without it no key
    is sent, whatever the environment holds, not to the default `base_url` either."""
    headers_env: HeadersByVariable = {}
    """Further headers: the name of each, and of the environment variable that holds its value."""
    concurrency: Annotated[int, Field(ge=1, le=1024), Runtime] = 32
    """Most calls in flight; fewer while the server pushes back."""
    rpm: Annotated[int | None, Field(ge=1), Runtime] = None
    """Most requests a minute."""
    tpm: Annotated[int | None, Field(ge=1), Runtime] = None
    """Most tokens a minute, prompts and answers together."""
    input_modalities: Annotated[list[Modality], Field(min_length=1), Runtime] = ["text"]
    """What the model reads. Of a conversation that shows anything else, it is asked nothing, and a row says so. Stored
    images are sent within the call, addresses as such, to be fetched by the server."""
    deadline: Annotated[float, Field(gt=0), Runtime] = 120.0
    """Seconds that one request may take."""
    price: Annotated[Price, Runtime] = Price()
    """USD per million tokens."""
    transport: Annotated[Literal["live", "batch"], Runtime] = "live"
    """batch: calls go through the server's Batch API, as files, and are answered within a day."""
    poll: Annotated[float, Field(gt=0), Runtime] = 30.0
    """Of `transport: batch`: seconds between looks at a batch."""

    @model_validator(mode="before")
    @classmethod
    def _named_once(cls, data: Any, info: ValidationInfo) -> Any:
        return with_named(data, "model", cls.model_fields, info.context)

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{value!r} is no http or https URL")
        if parts.username or parts.password or parts.query:
            raise ValueError("a URL with a user, password or query would put a secret into the recipe; use api_key_env")
        return value.rstrip("/")

    @field_validator("extra")
    @classmethod
    def _further_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            if key in OWNED:
                option = OWNED[key]
                fix = f"write {option} beside it" if option in cls.model_fields else "it cannot be set"
                raise ValueError(f"extra.{key} is set by the pipeline itself; {fix}")
            if key in CLIENTS:
                raise ValueError(f"extra.{key} is no field of a request; write its fields into extra themselves")
        _refuse_secrets(value, "extra")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"extra cannot be sent as JSON: {error}") from None
        return value


def _refuse_secrets(value: Any, where: str) -> None:
    """Raises ValueError, without the value, where something looks like a secret: recipes are passed around."""
    if isinstance(value, dict):
        for key, one in value.items():
            if re.sub(r"[^a-z]", "", str(key).lower()) in SECRET_KEYS:
                raise ValueError(
                    f"{where}.{short(key)} would put a secret into the recipe; use api_key_env or headers_env"
                )
            _refuse_secrets(one, f"{where}.{key}")
    elif isinstance(value, list):
        for place, one in enumerate(value):
            _refuse_secrets(one, f"{where}[{place}]")
    elif isinstance(value, str) and SECRET_VALUE.match(value):
        raise ValueError(f"{where} looks like a key, which would put a secret into the recipe; use api_key_env")
