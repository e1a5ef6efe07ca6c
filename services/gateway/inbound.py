"""What a client asks for: the few fields that the gateway acts on, the rest untouched."""

from __future__ import annotations

import random
import re
from typing import Annotated, Literal

import msgspec

from services.gateway.errors import BadRequest

Endpoint = Literal["chat/completions", "completions"]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_FIELD = re.compile(r"`\$\.(\w+)")


# JSON integers have no bound; what does not fit in 64 bits could not be written to the event.
_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Fields(msgspec.Struct):
    model: str
    stream: bool | None = None
    max_tokens: _Int64 | None = None
    max_completion_tokens: _Int64 | None = None
    temperature: float | None = None


_fields_decoder = msgspec.json.Decoder(_Fields)
_raw_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()


class Completion(msgspec.Struct):
    """A parsed request body."""

    model: str
    stream: bool
    max_tokens: int | None
    temperature: float | None
    raw: dict[str, msgspec.Raw]
    """Every top-level value, as the client wrote it."""

    def body_for(self, upstream_model: str) -> bytes:
        """The JSON to send on: the same values, the server's own name for the model."""
        return _encoder.encode({**self.raw, "model": upstream_model})

    def prompt_json(self, endpoint: Endpoint) -> bytes | None:
        """The JSON of `messages` or `prompt`, as the client wrote it."""
        value = self.raw.get("messages" if endpoint == "chat/completions" else "prompt")
        return None if value is None else bytes(value)

    def prompt_value(self, endpoint: Endpoint) -> object:
        """`messages` or `prompt` as plain values, for an event that keeps text."""
        prompt = self.prompt_json(endpoint)
        return None if prompt is None else msgspec.json.decode(prompt)


def parse(body: bytes) -> Completion:
    """Check that `body` is a JSON object and the fields acted upon have their types. Raises BadRequest.

    All else is the model server's to judge. A repeated key counts once, as its last value, so that
    gateway and server cannot read different requests.
    """
    try:
        raw = _raw_decoder.decode(body)
        fields = _fields_decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise _wrong_field(exc) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadRequest("the request body is not valid JSON") from exc
    if not fields.model:
        raise BadRequest("model: must not be empty", param="model")
    limit = fields.max_completion_tokens if fields.max_completion_tokens is not None else fields.max_tokens
    return Completion(fields.model, bool(fields.stream), limit, fields.temperature, raw)


def _wrong_field(exc: msgspec.ValidationError) -> BadRequest:
    text = str(exc)
    if "missing required field `model`" in text:
        return BadRequest("model: required; GET /v1/models lists the names", param="model")
    field = _FIELD.search(text)
    if field is None:
        return BadRequest("the request body must be a JSON object")
    reason = text.split(" - at ")[0].replace("`", "")
    return BadRequest(f"{field[1]}: {reason[0].lower()}{reason[1:]}", param=field[1])


def request_id_from(header: bytes) -> str:
    """The client's `x-request-id` where it is harmless in logs and headers, else a new one."""
    if header and _REQUEST_ID.fullmatch(header):
        return header.decode("ascii")
    # A name, not a secret: no need of the kernel's randomness for each request.
    return f"{random.getrandbits(128):032x}"
