"""The curves of pretraining runs, ended or under way: loss and perplexity by tokens, and samples.

A token of one tokenizer holds more text than a token of another, so perplexities compare runs of one
tokenizer only. Bits per character compare any: loss / ln 2 / (characters per token of the dev texts).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from common.errors import TriviumError
from training.examples import ChatTokenizer, read_texts

_WHOLE = 1_000_000
"""Tokens of a text that is not to be cut."""


class CurveError(TriviumError):
    """A folder holds no pretraining run, or one that has not been evaluated yet."""


@dataclass(frozen=True)
class Curve:
    """One run. Losses in nats per token."""

    folder: Path
    settings: dict[str, Any]
    facts: dict[str, Any]
    steps: list[dict[str, Any]]
    """Lines of metrics.jsonl."""
    samples: list[dict[str, Any]]
    """Lines of samples.jsonl."""
    characters_per_token: float
    """Of the dev texts."""

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name

    @cached_property
    def measured(self) -> list[dict[str, Any]]:
        """Steps with a dev loss."""
        return [step for step in self.steps if "dev_loss" in step]

    @property
    def last(self) -> dict[str, Any]:
        """The last of them."""
        return self.measured[-1]

    @property
    def finished(self) -> bool:
        """All its steps are done."""
        return bool(self.steps[-1]["step"] >= self.facts["total_steps"])

    def bits(self, loss: float) -> float:
        """Bits per character at `loss`."""
        return loss / math.log(2) / self.characters_per_token

    def grown(self) -> list[list[dict[str, Any]]]:
        """Each prompt's samples after the first, about half of, and all evaluations."""
        steps = sorted({sample["step"] for sample in self.samples})
        shown = {steps[i] for i in (0, len(steps) // 2, -1)} if steps else set()
        by_prompt: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for sample in self.samples:
            if sample["step"] in shown:
                by_prompt.setdefault((sample["prompt"], sample["reference"]), []).append(sample)
        return list(by_prompt.values())


def read_curve(folder: Path) -> Curve:
    """The run in `folder`; its tokenizer and data set must still be where they were. Raises CurveError."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        settings, facts = config["identity"], config["facts"]
        job, steps = settings["job"], _lines(folder / "metrics.jsonl")
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise CurveError(f"{folder}: no run of `python -m training pretrain` ({exc})") from exc
    if job != "pretrain":
        raise CurveError(f"{folder}: curves are of pretraining runs, and this one is of {job}")
    if not any("dev_loss" in step for step in steps):
        raise CurveError(f"{folder}: no dev loss yet; it comes every evaluation.every = "
                         f"{settings['evaluation']['every']} steps and at the end")  # fmt: skip
    samples = folder / "samples.jsonl"
    density = characters_per_token(Path(settings["data"]), Path(settings["tokenizer"]))
    return Curve(folder, settings, facts, steps, _lines(samples) if samples.exists() else [], density)


def characters_per_token(data: Path, tokenizer: Path) -> float:
    """Of the dev texts of a data set; each text's end counts as a token, as it does in the loss."""
    coder = ChatTokenizer(tokenizer)
    texts = [
        group.continuations[0][1:].tolist() for group in read_texts(data / "dev.jsonl", coder, _WHOLE).groups
    ]
    return sum(len(coder.decode(text)) for text in texts) / sum(map(len, texts))


def figures(curve: Curve) -> dict[str, Any]:
    """What the run came to, for tables and programs."""
    loss = curve.last["dev_loss"]
    return {
        "run": str(curve.folder), "data": curve.settings["data"], "seed": curve.settings["seed"],
        "finished": curve.finished, "parameters": curve.facts["parameters"],
        "vocab_size": curve.facts["vocab_size"], "tokens": curve.last["tokens"],
        "seconds": curve.last["seconds"], "dev_loss": loss, "perplexity": math.exp(loss),
        "characters_per_token": curve.characters_per_token, "bits_per_character": curve.bits(loss),
        "curve": [{"tokens": step["tokens"], "dev_loss": step["dev_loss"]} for step in curve.measured],
    }  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The figures for people."""
    lines = [f"{'run':32} {'tokens':>12} {'dev loss':>9} {'perplexity':>10} {'bits/char':>9}"]
    lines += [
        f"{row['run']:32} {row['tokens']:12,} {row['dev_loss']:9.3f} {row['perplexity']:10.1f} "
        f"{row['bits_per_character']:9.3f}{'' if row['finished'] else '  under way'}"
        for row in rows
    ]
    return "\n".join(lines)


def _lines(path: Path) -> list[dict[str, Any]]:
    """All whole lines; the last one may be being written."""
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]
