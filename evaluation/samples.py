"""Inputs, references and the outputs of several systems side by side, with slot errors marked."""

from __future__ import annotations

import html
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.corpora import References, load_hypotheses
from evaluation.errors import EvaluationError
from evaluation.slots.attributes import parse_attributes
from evaluation.slots.matcher import SlotError, SlotMatcher


@dataclass(frozen=True)
class Sample:
    """One input with everything said about it; per system the output and its slot errors."""

    number: int
    """The input's place in the references, from 1."""
    input: str
    references: list[str]
    outputs: dict[str, str]
    errors: dict[str, list[SlotError]]


def read_systems(named: Sequence[str], references: References) -> dict[str, list[str]]:
    """Outputs by system name from `NAME=FILE` arguments. Raises EvaluationError."""
    systems: dict[str, list[str]] = {}
    for argument in named:
        name, equals, file = argument.partition("=")
        if not equals or not name or not file:
            raise EvaluationError(f"--system {argument!r}: write it as NAME=FILE")
        if name in systems:
            raise EvaluationError(f"--system {name!r} is given twice")
        systems[name] = load_hypotheses(Path(file), references)
    return systems


def choose(
    references: References, systems: dict[str, list[str]], count: int, seed: int, *, worst: bool = False
) -> list[Sample]:
    """`count` samples: a seeded random choice in file order, or those with most slot errors first."""
    inputs = references.inputs or [""] * len(references.groups)
    attribute_lists = [parse_attributes(text) for text in inputs]
    matcher = SlotMatcher(attribute_lists)
    everything = [
        Sample(
            number=i + 1, input=inputs[i], references=references.groups[i],
            outputs={name: outputs[i] for name, outputs in systems.items()},
            errors={
                name: matcher.errors(attribute_lists[i], outputs[i]) if attribute_lists[i] else []
                for name, outputs in systems.items()
            },
        )
        for i in range(len(inputs))
    ]  # fmt: skip
    if worst:
        return sorted(everything, key=lambda s: (-sum(map(len, s.errors.values())), s.number))[:count]
    chosen = random.Random(seed).sample(everything, min(count, len(everything)))
    return sorted(chosen, key=lambda s: s.number)


def render(samples: Sequence[Sample], systems: Sequence[str], output: Path) -> str:
    """The page as HTML or Markdown, by the ending of `output`. Raises EvaluationError for another ending."""
    if output.suffix in {".html", ".htm"}:
        return _html(samples, systems)
    if output.suffix == ".md":
        return _markdown(samples, systems)
    raise EvaluationError(f"{output}: give a name that ends in .html or .md")


def describe(errors: Sequence[SlotError]) -> str:
    """Slot errors in words: `missing food[French]; added area[riverside]`."""
    return "; ".join(f"{error.kind} {error.slot}[{error.value}]" for error in errors)


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
section { border-top: 1px solid #ccc; padding: 1rem 0 }
h2 { font: 600 1rem/1.5 ui-monospace, monospace; margin: 0 0 .5rem }
table { border-collapse: collapse; width: 100% }
th { text-align: left; vertical-align: top; width: 10rem; padding: .25rem 1rem .25rem 0; font-weight: 600 }
td { padding: .25rem 0 }
.reference { color: #555 }
.good { color: #1b6e2d }
mark { background: #ffe1dc; color: #8f1d0c; padding: 0 .3rem; border-radius: .2rem; font-size: .85rem }
"""


def _html(samples: Sequence[Sample], systems: Sequence[str]) -> str:
    sections = "\n".join(_html_section(sample) for sample in samples)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Samples</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>Samples</h1>\n"
        f"<p>{len(samples)} inputs; systems: {html.escape(', '.join(systems))}. "
        "Slot errors are marked.</p>\n"
        f"{sections}\n</body>\n</html>\n"
    )


def _html_section(sample: Sample) -> str:
    has_slots = bool(parse_attributes(sample.input))
    rows = []
    for name, text in sample.outputs.items():
        marks = " ".join(f"<mark>{html.escape(describe([e]))}</mark>" for e in sample.errors[name])
        verdict = marks or ('<span class="good">all slots right</span>' if has_slots else "")
        shown = html.escape(text) or "<em>(empty)</em>"
        rows.append(f"<tr><th>{html.escape(name)}</th><td>{shown} {verdict}</td></tr>")
    rows += [
        f'<tr class="reference"><th>{"reference" if i == 0 else ""}</th><td>{html.escape(text)}</td></tr>'
        for i, text in enumerate(sample.references)
    ]
    title = html.escape(sample.input) or "(no input)"
    body = "\n".join(rows)
    return f"<section>\n<h2>{sample.number}. {title}</h2>\n<table>\n{body}\n</table>\n</section>"


def _markdown(samples: Sequence[Sample], systems: Sequence[str]) -> str:
    lines = ["# Samples", "", f"{len(samples)} inputs; systems: {', '.join(systems)}.", ""]
    for sample in samples:
        lines += [f"## {sample.number}. `{sample.input or '(no input)'}`", "", "| who | text | slot errors |"]
        lines.append("| --- | --- | --- |")
        for name, text in sample.outputs.items():
            errors = f"**{_cell(describe(sample.errors[name]))}**" if sample.errors[name] else ""
            lines.append(f"| {_cell(name)} | {_cell(text) or '*(empty)*'} | {errors} |")
        lines += [f"| reference | {_cell(text)} | |" for text in sample.references]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
