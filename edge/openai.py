"""Requests of the OpenAI API: the JSON body checked and turned into tokens and sampling parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from edge.errors import ApiError
from edge.sampling import SamplingParams

MAX_STOPS = 16
MAX_LOGPROBS = 20

Number = Annotated[float, Field(allow_inf_nan=False)]
R = TypeVar("R", bound="_Request")
NonEmpty = Annotated[StrictStr, Field(min_length=1)]
TokenIds = Annotated[list[StrictInt], Field(min_length=1)]
OnePrompt = Annotated[list[NonEmpty], Field(min_length=1, max_length=1)]


class TextPart(BaseModel):
    """One part of a message's content; this server reads text only."""

    type: Literal["text"]
    text: StrictStr


class Message(BaseModel):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: StrictStr | list[TextPart]

    def flat(self) -> dict[str, str]:
        """As chat templates expect it: role and one text."""
        text = self.content if isinstance(self.content, str) else "".join(p.text for p in self.content)
        return {"role": self.role, "content": text}


class StreamOptions(BaseModel):
    """Options of a stream."""

    include_usage: StrictBool = False


class _Request(BaseModel):
    """What both endpoints take. Fields that nobody here knows are ignored, as OpenAI clients expect."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model: NonEmpty
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: StrictInt | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    top_k: Annotated[StrictInt, Field(ge=-1)] | None = None
    seed: Annotated[StrictInt, Field(ge=-(2**63), lt=2**64)] | None = None
    stop: NonEmpty | Annotated[list[NonEmpty], Field(max_length=MAX_STOPS)] | None = None
    n: StrictInt | None = None
    ignore_eos: StrictBool = False
    return_token_ids: StrictBool | None = None
    # Known, and refused unless they say what the server does anyway.
    best_of: Literal[1] | None = None
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    logit_bias: dict[str, Number] | None = Field(default=None, max_length=0)

    @model_validator(mode="after")
    def _supported(self) -> Self:
        if self.n not in (None, 1):
            raise ValueError("n: this server makes one choice per request; n must be 1")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options: only allowed with stream: true")
        return self

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a usage chunk."""
        return self.stream_options is not None and self.stream_options.include_usage

    def wanted_tokens(self) -> tuple[str, int | None]:
        """The name and value of the token limit that was given."""
        return "max_tokens", self.max_tokens

    def alternatives(self) -> int | None:
        """How many alternatives to report per token; None reports nothing."""
        raise NotImplementedError


class ChatRequest(_Request):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: StrictInt | None = None
    logprobs: StrictBool | None = None
    top_logprobs: Annotated[StrictInt, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    response_format: dict[Literal["type"], Literal["text"]] | None = None

    @model_validator(mode="after")
    def _logprobs_before_top(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs: needs logprobs: true")
        return self

    def wanted_tokens(self) -> tuple[str, int | None]:
        """The name and value of the token limit that was given."""
        if self.max_completion_tokens is not None:
            return "max_completion_tokens", self.max_completion_tokens
        return "max_tokens", self.max_tokens

    def alternatives(self) -> int | None:
        """How many alternatives to report per token; None reports nothing."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(_Request):
    """`POST /v1/completions`."""

    prompt: NonEmpty | TokenIds | OnePrompt
    logprobs: Annotated[StrictInt, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    echo: Literal[False] | None = None
    suffix: Literal[""] | None = None

    def alternatives(self) -> int | None:
        """How many alternatives to report per token; None reports nothing."""
        return self.logprobs


@dataclass(frozen=True)
class ModelFacts:
    """What a request is checked against."""

    model: str
    context_length: int
    vocab_size: int


def parse(body: bytes, kind: type[R]) -> R:
    """The request in `body`. Raises ApiError 400 naming the parameter."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise ApiError(400, f"the body is not valid JSON: {exc}", code="invalid_json") from exc
    if not isinstance(values, dict):
        raise ApiError(400, "the body must be a JSON object", code="invalid_json")
    try:
        return kind.model_validate(values)
    except ValidationError as exc:
        raise _first_problem(exc) from exc


def check_model(name: str, facts: ModelFacts) -> None:
    """Raises ApiError 404 where `name` is not the model of this server."""
    if name != facts.model:
        raise ApiError(
            404, f"the model {name[:200]!r} does not exist; this server has {facts.model!r}",
            param="model", code="model_not_found",
        )  # fmt: skip


def check_prompt(tokens: list[int], param: str, facts: ModelFacts) -> None:
    """Raises ApiError 400 for an empty or too long prompt, or token ids outside the vocabulary."""
    if not tokens:
        raise ApiError(400, "the prompt is empty", param=param)
    if len(tokens) >= facts.context_length:
        raise ApiError(
            400,
            f"the prompt has {len(tokens)} tokens; the context is {facts.context_length}, answer included",
            param=param, code="context_length_exceeded",
        )  # fmt: skip
    if min(tokens) < 0 or max(tokens) >= facts.vocab_size:
        raise ApiError(400, f"token ids must be from 0 to {facts.vocab_size - 1}", param=param)


def sampling_params(request: _Request, prompt_tokens: int, facts: ModelFacts) -> SamplingParams:
    """The request's sampling parameters; without a token limit it may fill the context.

    Raises ApiError 400 where the limit is below 1 or beyond what the context leaves.
    """
    left = facts.context_length - prompt_tokens
    name, wanted = request.wanted_tokens()
    if wanted is not None and wanted < 1:
        raise ApiError(400, f"{name} must be at least 1, got {wanted}", param=name)
    if wanted is not None and wanted > left:
        raise ApiError(
            400,
            f"{name}={wanted} is beyond what the context leaves: {facts.context_length} tokens less "
            f"{prompt_tokens} of prompt leave {left}",
            param=name, code="context_length_exceeded",
        )  # fmt: skip
    stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    return SamplingParams(
        max_tokens=left if wanted is None else wanted,
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=max(request.top_k or 0, 0),
        seed=None if request.seed is None else request.seed % 2**64,
        stop=stop,
        logprobs=request.alternatives(),
        ignore_eos=request.ignore_eos,
    )


def _first_problem(exc: ValidationError) -> ApiError:
    problems = exc.errors(include_url=False, include_context=False)
    problem = problems[0]
    where = _field_path(problem["loc"])
    if not where:
        text = problem["msg"].removeprefix("Value error, ")
        return ApiError(400, text, param=text.partition(":")[0])
    # A field with several forms has one problem per form.
    texts = dict.fromkeys(p["msg"] for p in problems if _field_path(p["loc"]) == where)
    shown = repr(problem["input"])
    got = shown if len(shown) <= 100 else f"{shown[:100]}…"
    text = "; or ".join(texts)
    return ApiError(400, f"{'.'.join(where)}: {text} (got {got})", param=where[0])


def _field_path(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """The location without pydantic's names for the forms of a union (`constrained-str`, `list[...]`)."""
    return tuple(str(p) for p in location if isinstance(p, int) or (p.isidentifier() and p != "str"))
