"""The command lines of this room; each command only reads its options and calls the code that does the work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from common.files import atomic_write
from evaluation.corpora import load_hypotheses, load_references
from evaluation.errors import EvaluationError

app = typer.Typer(
    help="Metrics with intervals, generation, perplexity and side-by-side samples.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
)  # fmt: skip


@app.callback()
def main() -> None:
    """Metrics with intervals, generation, perplexity and side-by-side samples."""


@app.command()
def score(
    hypotheses: Annotated[
        Path, typer.Option(help="One output per line; or CSV/TSV with an output column; or JSONL.")
    ],
    references: Annotated[
        Path, typer.Option(help="E2E CSV (mr,ref), JSONL, or text with blank lines between groups.")
    ],
    output: Annotated[Path | None, typer.Option(help="Write the report as JSON here.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Comma-separated: bleu,nist,meteor,rougeL,cider,chrf,…")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples for the intervals; 0 for none.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 1,
    against: Annotated[Path | None, typer.Option(help="Another system's outputs, compared in pairs.")] = None,
) -> None:
    """Score anybody's outputs: BLEU, NIST, METEOR, ROUGE, CIDEr, chrF, slot errors, distinct-n, length."""
    from evaluation.report import as_text
    from evaluation.scoring import score as score_outputs

    chosen = [name.strip() for name in metrics.split(",") if name.strip()] if metrics is not None else None
    wanted = load_references(references)
    report = score_outputs(
        load_hypotheses(hypotheses, wanted), wanted.groups, wanted.inputs, metrics=chosen, resamples=bootstrap,
        seed=seed, against=load_hypotheses(against, wanted) if against is not None else None,
    )  # fmt: skip
    print(as_text(report))
    if output is not None:
        atomic_write(output, report.model_dump_json(indent=2) + "\n")
        print(f"written: {output}", file=sys.stderr)
    if chosen and report.unavailable:
        raise EvaluationError(
            "; ".join(f"{metric}: {reason}" for metric, reason in report.unavailable.items())
        )
