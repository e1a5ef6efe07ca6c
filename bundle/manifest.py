"""manifest.json: what is in a bundle, where it came from, how good it is, and what it must answer.

Written as canonical JSON (sorted keys, two spaces, UTF-8, one newline at the end), so that the same content
always gives the same bytes and the bundle's digest is the SHA-256 of the file.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic_core import from_json

from bundle.errors import ManifestInvalid, ManifestMissing, ManifestNotJson, UnknownSchema, UnsafePath

SCHEMA_VERSION = "trivium.bundle/v1"
MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "signature.json"
MODEL_CARD_NAME = "MODEL_CARD.md"
ML_BOM_NAME = "mlbom.cdx.json"

MAX_MANIFEST_BYTES = 32 * 2**20
"""A manifest is some kilobytes; a file beyond this is an attack on memory, not a manifest."""


def safe_path(path: str) -> str:
    """`path` if it stays inside the bundle and has one spelling only. Raises UnsafePath."""
    parts = path.split("/")
    if (
        not path
        or len(path) > 4096
        or path.startswith("/")
        or any(part in ("", ".", "..") for part in parts)
        or "\\" in path
        or any(ord(char) < 32 for char in path)
        or PurePosixPath(path).drive
        or (len(path) > 1 and path[1] == ":")
    ):
        raise UnsafePath(f"manifest path {path[:200]!r} leaves the bundle or is not a plain relative path")
    return path


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, AfterValidator(safe_path)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$")]
Count = Annotated[int, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class FileEntry(_Section):
    """One file of the bundle; size in bytes."""

    path: RelativePath
    size: Count
    sha256: Sha256


class Job(_Section):
    """The training job that made the weights."""

    name: str
    config: dict[str, JsonValue] = {}
    seed: int | None = None
    git_commit: str | None = None


class Data(_Section):
    """What the model was trained on; `rows` per split, `digest` from the data card."""

    name: str
    digest: str
    licence: str
    source: str
    rows: dict[str, Count] = {}


class EvaluationResult(_Section):
    """One metric over `n` examples with its confidence interval (None: the metric has none)."""

    metric: str
    value: float
    n: Count
    ci_low: float | None = None
    ci_high: float | None = None
    split: str | None = None
    unit: str | None = None


class Gate(_Section):
    """A condition that was checked before this bundle was made."""

    name: str
    passed: bool
    detail: str = ""


class PromptTemplate(_Section):
    """A prompt template by the SHA-256 of its UTF-8 text."""

    name: str
    sha256: Sha256


class Message(_Section):
    """One turn of a conversation."""

    role: str
    content: str


class GoldenPrompt(_Section):
    """A prompt with the token ids that every road and fp32 format must answer (greedy).

    `expected_token_ids` excludes the end-of-sequence token. `top_logit_gaps` has the top-1 minus top-2 logit
    of every step in nats: one per expected token, and one more where end-of-sequence ended the answer.
    """

    messages: list[Message]
    prompt_token_ids: list[Count]
    expected_token_ids: list[Count]
    top_logit_gaps: list[float]


class Manifest(_Section):
    """All of manifest.json. Fields without a value in this bundle are present and null or empty."""

    schema_version: Literal["trivium.bundle/v1"] = "trivium.bundle/v1"
    name: Identifier
    version: Identifier
    created: str | None = None
    """RFC 3339, from SOURCE_DATE_EPOCH only: a clock would make every build differ."""
    base_model: str
    licence: str
    """SPDX expression or name of the licence of the weights."""
    intended_use: str
    limits: list[str] = []
    job: Job
    data: Data
    evaluation: list[EvaluationResult] = []
    gates: list[Gate] = []
    prompt_templates: list[PromptTemplate] = []
    golden: list[GoldenPrompt] = []
    files: list[FileEntry]

    @model_validator(mode="after")
    def _files_named_once(self) -> Manifest:
        paths = [entry.path for entry in self.files]
        if len(set(paths)) != len(paths):
            raise ValueError("files names a path twice")
        if {MANIFEST_NAME, SIGNATURE_NAME} & set(paths):
            raise ValueError(f"files must not name {MANIFEST_NAME} or {SIGNATURE_NAME}")
        return self

    def to_bytes(self) -> bytes:
        """The canonical bytes of manifest.json."""
        return canonical_json(self.model_dump(mode="json"))


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, two spaces, UTF-8 and one newline at the end. Refuses NaN and infinity."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def digest_of(data: bytes) -> str:
    """`sha256:<hex>`, the form in which bundles are named everywhere."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest in `folder` and its digest.

    Raises ManifestMissing, ManifestNotJson, UnknownSchema, ManifestInvalid or UnsafePath. Checks no file.
    """
    path = folder / MANIFEST_NAME
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_MANIFEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise ManifestMissing(f"{folder}: no {MANIFEST_NAME}; is this a bundle?") from exc
    except OSError as exc:
        raise ManifestInvalid(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestInvalid(f"{path}: larger than {MAX_MANIFEST_BYTES // 2**20} MiB; not a manifest")
    return parse_manifest(data, str(path)), digest_of(data)


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Validate the bytes of a manifest; `where` names them in errors."""
    try:
        values = from_json(data, allow_inf_nan=False)
    except ValueError as exc:
        raise ManifestNotJson(f"{where}: not JSON: {exc}") from exc
    if not isinstance(values, dict):
        raise ManifestNotJson(f"{where}: not a JSON object but a {type(values).__name__}")
    schema = values.get("schema_version")
    if schema != SCHEMA_VERSION:
        raise UnknownSchema(
            f"{where}: schema_version is {str(schema)[:80]!r}, this code reads {SCHEMA_VERSION!r}; "
            "update Trivium or rebuild the bundle"
        )
    try:
        return Manifest.model_validate(values, strict=True)
    except ValidationError as exc:
        problems = exc.errors(include_url=False, include_context=False)
        shown = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'manifest'}: {problem['msg']}"
            for problem in problems[:3]
        )
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ManifestInvalid(f"{where}: {shown}{more}") from exc
