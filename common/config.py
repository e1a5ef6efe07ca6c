"""Typed YAML configuration: a wrong key or value is an error that names it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import ConfigError


class StrictModel(BaseModel):
    """Base of every configuration class: unknown keys are refused and instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @classmethod
    def from_yaml(cls, path: Path, overrides: list[str] | None = None) -> Self:
        """Read `path`, apply `key.sub=value` overrides, validate.

        Raises ConfigError naming the file, the key and, for a misspelt key, the nearest known one.
        """
        values = read_yaml(path)
        return cls.from_dict(apply_overrides(values, overrides), str(path))

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str) -> Self:
        """Validate `values`; `where` names their origin in the error. Raises ConfigError."""
        try:
            return cls.model_validate(values)
        except ValidationError as exc:
            problems = "; ".join(_describe(cls, problem) for problem in exc.errors())
            raise ConfigError(f"{where}: {problems}") from exc


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError when it is not there or is no mapping."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(f"{path}: no such file; give the path of a YAML file") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}") from exc
    except yaml.YAMLError as exc:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(exc).split())}") from exc
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, found a {type(values).__name__}")
    return values


def apply_overrides(values: dict[str, Any], overrides: list[str] | None) -> dict[str, Any]:
    """`values`, changed by `key.sub=value` overrides. Raises ConfigError."""
    for override in overrides or []:
        _apply_override(values, override)
    return values


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r}: write it as key=value, for example train.seed=7")
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"override {override!r}: {parent!r} is a value, not a section")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigError(f"override {override!r}: {text!r} is not a YAML value") from exc


def _describe(model: type[BaseModel], problem: Any) -> str:
    location = ".".join(str(part) for part in problem["loc"]) or "the whole file"
    if problem["type"] == "missing":
        return f"{location}: {problem['msg']}"  # its input is the whole section around it
    if problem["type"] != "extra_forbidden":
        return f"{location}: {problem['msg']} (got {problem['input']!r})"
    known = sorted(_known_keys(model, problem["loc"][:-1]))
    near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return f"unknown key {location!r}; {hint}"


def _known_keys(model: type[BaseModel], parents: tuple[int | str, ...]) -> set[str]:
    models = [model]
    for parent in parents:
        fields = [m.model_fields[parent].annotation for m in models if parent in m.model_fields]
        if fields:
            models = [m for annotation in fields for m in _models_in(annotation)]
    return {key for m in models for key in m.model_fields}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
