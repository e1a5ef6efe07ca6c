"""MODEL_CARD.md, written from the manifest so that card and manifest cannot disagree."""

from __future__ import annotations

import json

from bundle.manifest import EvaluationResult, FileEntry, Manifest


def model_card(manifest: Manifest) -> str:
    """The card as Markdown, with the front matter that model hubs read."""
    sections = [
        _front_matter(manifest),
        f"# {manifest.name} {manifest.version}",
        f"## Intended use\n\n{manifest.intended_use}",
        _training(manifest),
        _evaluation(manifest.evaluation),
        _gates(manifest),
        _files(manifest.files),
        "## Limits\n\n"
        + "\n".join(f"- {limit}" for limit in manifest.limits or ["None stated by the author."]),
        _how_to_verify(),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(manifest: Manifest) -> str:
    licence = json.dumps(manifest.licence.lower())
    return f"---\nlicense: {licence}\npipeline_tag: text-generation\nlibrary_name: transformers\n---"


def _training(manifest: Manifest) -> str:
    data, job = manifest.data, manifest.job
    rows = ", ".join(f"{split} {count:,}" for split, count in sorted(data.rows.items())) or "not stated"
    facts = [
        ("Base model", manifest.base_model),
        ("Licence of the weights", manifest.licence),
        ("Job", job.name),
        ("Seed", "not stated" if job.seed is None else str(job.seed)),
        ("Git commit", job.git_commit or "not stated"),
        ("Data", f"{data.name} ({data.source})"),
        ("Licence of the data", data.licence),
        ("Digest of the data", f"`{data.digest}`"),
        ("Rows", rows),
    ]
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in facts)
    return f"## Training and data\n\n| what | value |\n| --- | --- |\n{table}"


def _evaluation(results: list[EvaluationResult]) -> str:
    if not results:
        return "## Evaluation\n\nNot evaluated."
    rows = "\n".join(
        f"| {_cell(result.metric)} | {result.split or ''} | {_figure(result)} | {_interval(result)} "
        f"| {result.n:,} |"
        for result in results
    )
    head = "| metric | split | value | confidence interval | n |\n| --- | --- | --- | --- | --- |"
    return f"## Evaluation\n\n{head}\n{rows}"


def _figure(result: EvaluationResult) -> str:
    return f"{result.value:.4g}{f' {result.unit}' if result.unit else ''}"


def _interval(result: EvaluationResult) -> str:
    if result.ci_low is None or result.ci_high is None:
        return "not given"
    return f"{result.ci_low:.4g} to {result.ci_high:.4g}"


def _gates(manifest: Manifest) -> str:
    if not manifest.gates:
        return ""
    rows = "\n".join(
        f"| {_cell(gate.name)} | {'passed' if gate.passed else 'FAILED'} | {_cell(gate.detail)} |"
        for gate in manifest.gates
    )
    return f"## Gates\n\n| gate | result | detail |\n| --- | --- | --- |\n{rows}"


def _files(files: list[FileEntry]) -> str:
    sizes: dict[str, int] = {}
    for entry in files:
        folder = entry.path.rpartition("/")[0]
        if folder:
            sizes[folder] = sizes.get(folder, 0) + entry.size
    rows = "\n".join(f"| `{folder}/` | {size / 1e6:.2f} MB |" for folder, size in sorted(sizes.items()))
    return f"## Formats\n\n| folder | size |\n| --- | --- |\n{rows}"


def _how_to_verify() -> str:
    return (
        "## How to verify\n\n```\npython -m bundle verify DIR --public-key signing.pub\n```\n\n"
        "This checks every file against `manifest.json`, and the signature over all files (`signature.json`, "
        "model-signing). The golden prompts in the manifest say which token ids the model must answer."
    )


def _cell(text: str) -> str:
    """One line that does not break a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
