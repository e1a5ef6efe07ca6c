"""The command lines of this room: each reads its options and calls the code that does the work."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from common.files import atomic_write
from evaluation.answering import Precision, Road
from evaluation.corpora import load_hypotheses, load_references
from evaluation.errors import EvaluationError
from evaluation.prompting.cli import prompt_search

app = typer.Typer(
    help="Metrics with intervals, generation, perplexity and side-by-side samples.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
)  # fmt: skip


@app.callback()
def main() -> None:
    """Metrics with intervals, generation, perplexity and side-by-side samples."""


app.command("prompt-search")(prompt_search)


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
        load_hypotheses(hypotheses, wanted), wanted.groups, wanted.inputs, metrics=chosen,
        resamples=bootstrap, seed=seed,
        against=load_hypotheses(against, wanted) if against is not None else None,
    )  # fmt: skip
    print(as_text(report))
    if output is not None:
        atomic_write(output, report.model_dump_json(indent=2) + "\n")
        print(f"written: {output}", file=sys.stderr)
    if chosen and report.unavailable:
        raise EvaluationError(
            "; ".join(f"{metric}: {reason}" for metric, reason in report.unavailable.items())
        )


@app.command()
def generate(
    inputs: Annotated[Path, typer.Option(help="Text (one input a line), CSV (column mr), or JSONL.")],
    output: Annotated[Path, typer.Option(help="Written whole at the end: one output a line, in order.")],
    bundle: Annotated[Path | None, typer.Option(help="The bundle; not needed with --url.")] = None,
    road: Annotated[Road, typer.Option(help="local: transformers in this process.")] = "local",
    precision: Annotated[Precision, typer.Option("--format", help="Number format of the weights.")] = "fp32",
    url: Annotated[str | None, typer.Option(help="A server that already runs, instead of --road.")] = None,
    model: Annotated[str | None, typer.Option(help="Model id to ask for; by default the only one.")] = None,
    public_key: Annotated[Path | None, typer.Option(help="Key to verify the bundle with.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 128,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests under way at once.")] = 8,
    batch_size: Annotated[int, typer.Option(min=1, help="Inputs at once on the local road.")] = 32,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first inputs.")] = None,
    template: Annotated[str, typer.Option(help="Wording around an input that is plain text.")] = "{input}",
) -> None:
    """Write one greedy output per input; an interrupted run goes on where it was."""
    from evaluation.answering import Answerer
    from evaluation.generation import generate_file
    from evaluation.prompts import load_prompts

    answerer = Answerer(
        bundle=bundle, road=road, precision=precision, url=url, model=model, public_key=public_key,
        max_tokens=max_tokens, concurrency=concurrency, batch_size=batch_size,
    )  # fmt: skip
    answerer.check()
    prompts = load_prompts(inputs, template)[:limit]
    kept = generate_file(prompts, output, answerer.fingerprint(), answerer)
    continued = f", {kept} of them from an interrupted run" if kept else ""
    print(f"{output}: {len(prompts)} outputs{continued}")


@app.command()
def perplexity(
    bundle: Annotated[Path, typer.Option(help="The bundle.")],
    data: Annotated[Path, typer.Option(help="JSONL (messages, text, input+references), E2E CSV, or text.")],
    output: Annotated[Path | None, typer.Option(help="Write the figures as JSON here.")] = None,
    precision: Annotated[Precision, typer.Option("--format", help="fp32 or bf16.")] = "fp32",
    public_key: Annotated[Path | None, typer.Option(help="Key to verify the bundle with.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first passages.")] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples for the intervals; 0 for none.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 1,
) -> None:
    """Perplexity per token, word and byte, and bits per byte; of answers given prompts, or of plain text."""
    from bundle import verify
    from evaluation import perplexity as figures
    from evaluation.local import load_local
    from evaluation.report import result_of, results_as_text

    passages = figures.load_passages(data)[:limit]
    local = load_local(verify(bundle, public_key).model_dir, precision)
    results = [result_of(m, bootstrap, seed) for m in figures.measure_perplexity(local, passages)]
    print(results_as_text(results))
    print(f"\n{figures.DEFINITION}\npercentile bootstrap over passages, {bootstrap} resamples, seed {seed}")
    if output is not None:
        atomic_write(output, json.dumps([r.model_dump() for r in results], indent=2) + "\n")
        print(f"written: {output}", file=sys.stderr)


@app.command()
def samples(
    references: Annotated[Path, typer.Option(help="Inputs with references, as for `score`.")],
    output: Annotated[Path, typer.Option(help="The page: .html or .md.")],
    system: Annotated[list[str], typer.Option(help="NAME=FILE, once per system.")],
    count: Annotated[int, typer.Option(min=1, help="How many inputs to show.")] = 20,
    seed: Annotated[int, typer.Option(help="Which inputs.")] = 1,
    worst: Annotated[
        bool, typer.Option(help="Show those with most slot errors, not a random choice.")
    ] = False,
) -> None:
    """A page with inputs, references and the outputs of several systems side by side, slot errors marked."""
    from evaluation.samples import choose, read_systems, render

    wanted = load_references(references)
    systems = read_systems(system, wanted)
    page = render(choose(wanted, systems, count, seed, worst=worst), list(systems), output)
    atomic_write(output, page)
    print(f"{output}: {min(count, len(wanted.groups))} inputs, {len(systems)} systems")
