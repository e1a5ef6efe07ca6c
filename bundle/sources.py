"""Read what other rooms wrote (data card, job result, evaluation, gates) into the manifest's sections."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bundle.errors import BundleError
from bundle.manifest import Data, EvaluationResult, Gate, Job, PromptTemplate

Section = TypeVar("Section", bound=BaseModel)

NOT_STATED = "not stated"


def read_data(card: Path | None) -> Data:
    """The data section from `card.json` of a prepared data set."""
    if card is None:
        return Data(name=NOT_STATED, digest=NOT_STATED, licence=NOT_STATED, source=NOT_STATED)
    return _section(Data, read_object(card), str(card))


def read_job(run: Path | None, git_commit: str | None = None) -> Job:
    """The job section from a run folder: its `config.json`, and the name, seed and commit that it notes.

    `git_commit` is for jobs that note none.
    """
    if run is None:
        return Job(name=NOT_STATED, git_commit=git_commit)
    if not run.is_dir():
        raise BundleError(f"{run}: no such run folder")
    config = read_object(run / "config.json") if (run / "config.json").is_file() else {}
    result = read_object(run / "result.json") if (run / "result.json").is_file() else {}
    identity = config.get("identity")
    noted = {**config, **(identity if isinstance(identity, dict) else {}), **result}
    values = {
        "name": noted.get("job") or noted.get("name") or run.name,
        "config": config,
        "seed": noted.get("seed"),
        "git_commit": noted.get("git_commit") or git_commit,
    }
    return _section(Job, values, str(run))


def read_evaluation(path: Path | None) -> list[EvaluationResult]:
    """Results as a list of objects with metric, value, n, ci_low, ci_high.

    Or that list under `results`, or under `metrics` as `python -m evaluation score --output` writes it.
    """
    return [
        _section(EvaluationResult, row, f"{path}: row {i}") for i, row in enumerate(_read_rows(path), start=1)
    ]


def read_gates(path: Path | None) -> list[Gate]:
    """Gates: a list of objects with name, passed and, optionally, detail (or that list under `results`)."""
    return [_section(Gate, row, f"{path}: row {i}") for i, row in enumerate(_read_rows(path), start=1)]


def read_templates(model_dir: Path, extra: list[Path]) -> list[PromptTemplate]:
    """The chat template of the model folder and further template files, by the SHA-256 of their text."""
    templates = []
    chat = _chat_template(model_dir)
    if chat is not None:
        templates.append(
            PromptTemplate(name="chat_template", sha256=hashlib.sha256(chat.encode()).hexdigest())
        )
    for path in extra:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise BundleError(f"{path}: the prompt template cannot be read: {exc}") from exc
        templates.append(PromptTemplate(name=path.name, sha256=hashlib.sha256(text.encode()).hexdigest()))
    return templates


def read_object(path: Path, hint: str = "") -> dict[str, Any]:
    """The JSON object in a file; `hint` says what to do where it cannot be read."""
    values = _read_json(path, hint)
    if not isinstance(values, dict):
        raise BundleError(f"{path}: expected a JSON object")
    return values


def _chat_template(model_dir: Path) -> str | None:
    file = model_dir / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    config = model_dir / "tokenizer_config.json"
    template = read_object(config).get("chat_template") if config.is_file() else None
    if template is None or isinstance(template, str):
        return template
    return json.dumps(template, sort_keys=True)


def _read_rows(path: Path | None) -> list[Any]:
    if path is None:
        return []
    values = _read_json(path)
    if isinstance(values, dict):
        values = values.get("results", values.get("metrics"))
    if not isinstance(values, list):
        raise BundleError(
            f"{path}: expected a JSON list, or an object with the list under `results` or `metrics`"
        )
    return values


def _read_json(path: Path, hint: str = "") -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise BundleError(f"{path}: {exc.strerror or exc}{f'; {hint}' if hint else ''}") from exc
    except (ValueError, RecursionError) as exc:
        raise BundleError(f"{path}: not JSON: {exc}") from exc


def _section(kind: type[Section], values: Any, where: str) -> Section:
    """Validate the fields this section knows; other rooms' files may say more than a manifest needs."""
    if not isinstance(values, dict):
        raise BundleError(f"{where}: expected a JSON object, found a {type(values).__name__}")
    known = {key: value for key, value in values.items() if key in kind.model_fields}
    try:
        return kind.model_validate(known)
    except ValidationError as exc:
        problem = exc.errors(include_url=False)[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the object"
        raise BundleError(f"{where}: {field}: {problem['msg']}") from exc
