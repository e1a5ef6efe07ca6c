"""What has to be loaded to serve each outcome, and which of them need the same work.

The work of a forward pass follows from the tensors' shapes, not from their values. Results with the same
architecture, tensors and tokenizer, the same kind and size of adapter, and the same written prompt are
therefore one group, of which one is measured: DPO is served at the rate of full fine-tuning, a merged LoRA at
that of its base.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import TriviumError
from common.files import sha256_file
from training.adapters.files import SETTINGS, read_adapter
from training.curriculum.records import Record
from training.layout import model_folder


class ServingError(TriviumError):
    """A result cannot be served, or nothing can."""


@dataclass(frozen=True, slots=True)
class WrittenPrompt:
    """The prompt of a search that stands around every input."""

    search: Path
    """Folder of the search (`python -m evaluation prompt-search`)."""
    arm: str
    """Its name in the search's report."""


@dataclass(frozen=True, slots=True)
class Target:
    """One way to serve one outcome."""

    record: Record
    model: Path
    adapter: Path | None = None
    """Served beside the base model in `model`, not merged."""
    prompt: WrittenPrompt | None = None
    is_merged: bool = False
    """The second way of an adapter: written into the weights."""

    @property
    def name(self) -> str:
        """Technique and seed."""
        outcome = self.record.outcome
        return f"{outcome.technique} {outcome.seed}{' merged' if self.is_merged else ''}"


@dataclass(slots=True)
class Plan:
    """All of a suite."""

    groups: dict[str, list[Target]] = field(default_factory=dict)
    """By digest of what decides the work."""
    refused: dict[str, str] = field(default_factory=dict)
    """Technique and seed to the reason why it is not measured."""


def plan_of(records: Sequence[Record]) -> Plan:
    """Group the outcomes; those whose files are not there or not readable are refused with the reason."""
    plan = Plan()
    for record in records:
        name = f"{record.outcome.technique} {record.outcome.seed}"
        try:
            found = [(target, digest_of(target)) for target in _targets(record)]
        except (TriviumError, OSError, ValueError, KeyError) as exc:
            plan.refused[name] = " ".join(str(exc).split())
            continue
        for target, digest in found:
            plan.groups.setdefault(digest, []).append(target)
    return plan


def _targets(record: Record) -> list[Target]:
    """The way that the page's figure is of, and for an adapter that was merged this too."""
    outcome = record.outcome
    if outcome.adapter:
        info = read_adapter(Path(outcome.adapter))
        made = [Target(record, model_folder(Path(outcome.start or info.base)), info.folder)]
        if outcome.model:
            made.append(Target(record, model_folder(Path(outcome.model)), is_merged=True))
        return made
    if not outcome.model:
        raise ServingError(
            f"{record.folder}: the outcome names neither a model nor an adapter; nothing to serve"
        )
    prompt = _written_prompt(record) if outcome.family == "prompting" else None
    return [Target(record, model_folder(Path(outcome.model)), prompt=prompt)]


def _written_prompt(record: Record) -> WrittenPrompt | None:
    """The prompt behind an outcome of a search; None where the search found that none is best."""
    from evaluation.prompting.job import REPORT
    from training.prompting.compare import OUTCOMES, SEARCH
    from training.prompting.table import read_search

    arm = next((arm for arm, (key, _) in OUTCOMES.items() if key == record.outcome.technique), None)
    # The best prompt's outcome lies beside the search, the others' one folder below.
    searches = [folder / SEARCH / REPORT for folder in (record.folder, record.folder.parent)]
    search = next((path for path in searches if path.is_file()), None)
    if arm is None or search is None:
        raise ServingError(
            f"{record.folder}: no prompt search ({SEARCH}/{REPORT}) that the prompt could come from"
        )
    if read_search(search.parent).arm(arm).candidate.is_none:
        return None
    return WrittenPrompt(search.parent, arm)


def digest_of(target: Target) -> str:
    """Of all that decides the work of one answer. Raises OSError and ValueError for unreadable files."""
    settings = json.loads((target.model / "config.json").read_text(encoding="utf-8"))
    parts: dict[str, Any] = {
        "model": [
            settings.get("model_type"),
            settings.get("max_position_embeddings"),
            _tensors(target.model),
        ],
        "tokenizer": sha256_file(target.model / "tokenizer.json"),
    }
    if target.adapter:
        info = read_adapter(target.adapter)
        text = (target.adapter / SETTINGS).read_text(encoding="utf-8")
        virtual = json.loads(text).get("num_virtual_tokens")
        # Once trained, P-tuning is a table of embeddings like prompt tuning, and PEFT serves it as such.
        kind = "PROMPT_TUNING" if info.peft_type == "P_TUNING" else info.peft_type
        parts["adapter"] = [kind, info.dora, virtual, _tensors(target.adapter)]
    if target.prompt:
        from training.prompting.table import read_search

        report = read_search(target.prompt.search)
        parts["prompt"] = [report.arm(target.prompt.arm).candidate.model_dump(), report.task]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _tensors(folder: Path) -> list[list[Any]]:
    """Name, type and shape of every tensor, from the files' heads alone."""
    from safetensors import SafetensorError, safe_open

    found = []
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy") as tensors:
                heads = [(name, tensors.get_slice(name)) for name in tensors.keys()]  # noqa: SIM118
                found += [[name, head.get_dtype(), list(head.get_shape())] for name, head in heads]
        except SafetensorError as exc:
            raise ServingError(
                f"{file}: not a readable safetensors file ({exc}); run that technique again"
            ) from exc
    return sorted(found)
