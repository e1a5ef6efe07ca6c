"""`python -m training corpus {crawl,read,prepare,tokenizers,pii,bench}`; `--help` on each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CONFIGS = Path(__file__).parents[1] / "configs"

app = typer.Typer(
    help="Corpora for pretraining: crawl, read, filter, mix, report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Config = Annotated[Path, typer.Option(help="YAML file, for example training/configs/corpus-books.yaml")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key=value over the file, for example pii.action=drop")
]


@app.command()
def prepare(
    config: Config = CONFIGS / "corpus-books.yaml",
    overrides: Overrides = None,
    output: Annotated[Path | None, typer.Option(help="folder above the data set's")] = None,
    workers: Annotated[int | None, typer.Option(help="Ray workers; 0: in this process")] = None,
    force: Annotated[bool, typer.Option(help="prepare again although nothing changed")] = False,
) -> None:
    """Prepare a corpus for `python -m training pretrain`; the same command goes on after an interruption."""
    import json

    from training.corpus.config import CorpusConfig
    from training.corpus.prepare import prepare as run

    given = [*(overrides or [])]
    given += [f"output={json.dumps(str(output))}"] if output else []
    given += [f"workers={workers}"] if workers is not None else []
    prepared = run(CorpusConfig.from_yaml(config, given), force=force)
    if prepared.reused:
        print(f"{prepared.path} is up to date (--force prepares it again)")
        return
    report = prepared.report
    for stage in report["stages"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in stage["reasons"].items())
        print(f"{stage['stage']:<14} {stage['in']:>9,} → {stage['out']:>9,}  {reasons}")
    for share in report["mix"]:
        print(f"{share['source']:<14} {share['share']:>7.1%} of the mix, {share['repeats']:g} times")
    if report["mix_note"]:
        print(f"note           {report['mix_note']}")
    for name, split in report["splits"].items():
        print(f"{name:<14} {split['rows']:,} rows, {split['chars']:,} characters")
    print(f"digest         {prepared.card.digest}")
    peak = report["peak_memory_bytes"] / 1e9
    print(f"written        {prepared.path} in {report['seconds']:.0f} s, peak memory {peak:.2f} GB")
    print(f"report         {prepared.path / 'report.html'}")


@app.command()
def read(
    path: Annotated[Path, typer.Argument(help="file, folder or archive")],
    reader: Annotated[
        str, typer.Option(help="books, wikitext, mediawiki, code, feeds, warc, html, …")
    ] = "books",
    limit: Annotated[int, typer.Option(help="documents to show")] = 5,
    chars: Annotated[int, typer.Option(help="characters of each")] = 300,
) -> None:
    """Show what a reader makes of a source, cleaned as the job would: a look before the job."""
    from training.corpus.look import look

    for line in look(path, reader, limit, chars):
        print(line)


@app.command()
def crawl(
    url: Annotated[list[str], typer.Option(help="where to begin; only these hosts are visited")],
    output: Annotated[Path, typer.Option(help="folder for the pages and the state")],
    contact: Annotated[str, typer.Option(help="address under which a site's owner reaches you")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, for example max_pages=50 or format=warc")
    ] = None,
    refresh: Annotated[bool, typer.Option(help="ask again for what may have changed")] = False,
) -> None:
    """Fetch a site politely; the same command goes on after an interruption."""
    from common.config import apply_overrides
    from training.corpus.crawl.config import CrawlConfig
    from training.corpus.crawl.crawler import Crawler

    values = apply_overrides({"urls": url, "output": str(output), "contact": contact}, overrides)
    result = Crawler(CrawlConfig.from_dict(values, "crawl")).run(refresh=refresh)
    print(f"stored     {result.stored:,} pages, {result.bytes:,} bytes, in {output}")
    for state, detail, pages in result.left_out:
        print(f"{state:<10} {pages:,} {detail}")
    print(f"ended      {result.ended}; {result.waiting:,} pages wait")


@app.command()
def bench(
    megabytes: Annotated[int, typer.Option(min=1, help="size of the made corpus")] = 100,
    workers: Annotated[int | None, typer.Option(help="Ray workers; 0: in this process")] = None,
    output: Annotated[Path, typer.Option(help="folder for corpus.json")] = Path("reports/bench"),
) -> None:
    """Rows per second and peak memory of `prepare` on a corpus made on the spot."""
    import json

    from common.files import atomic_write
    from training.corpus.bench import bench as run

    result = run(megabytes, workers, output)
    atomic_write(output / "corpus.json", json.dumps(result, indent=2) + "\n")
    print(f"{result['rows']:,} rows in {result['seconds']} s: {result['rows_per_second']} rows/s")
    print(f"peak memory of all processes {result['peak_memory_bytes'] / 1e9:.2f} GB")


@app.command()
def tokenizers(
    data: Annotated[Path, typer.Option(help="folder of a prepared data set")],
    output: Annotated[Path, typer.Option(help="folder for tokenizers.json and tokenizers.md")],
    size: Annotated[list[int] | None, typer.Option(help="vocabulary sizes (repeat the option)")] = None,
    max_chars: Annotated[int, typer.Option(min=1, help="characters to train on")] = 5_000_000,
    split: Annotated[str, typer.Option(help="split to measure on")] = "dev",
) -> None:
    """Compare BPE, Unigram and WordPiece: tokens per word and bytes per token on held-out text."""
    from training.corpus.tokenizers import compare, render

    print(render(compare(data, size or [1_024, 2_048, 4_096, 8_192], output, max_chars, split)))


@app.command()
def pii(
    data: Annotated[Path, typer.Option(help="labelled texts, presidio-research's JSON")],
    output: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
) -> None:
    """Measure the personal-data stage on labelled text: span precision, recall and F1 by type."""
    import json

    from common.files import atomic_write
    from training.corpus.config import PiiConfig
    from training.corpus.pii_score import score

    result = score(data, PiiConfig())
    for row in [*result.by_entity, result.overall]:
        precision = "–" if row.precision is None else f"{row.precision:.3f}"
        print(
            f"{row.entity:<16} n {row.labelled:>4}  precision {precision}  recall {row.recall:.3f}  "
            f"F1 {row.f1:.3f}"
        )
    missed = ", ".join(f"{name} {count}" for name, count in result.not_looked_for.items())
    print(f"not looked for (no pattern finds them): {missed}")
    if output:
        atomic_write(output, json.dumps(result.as_dict(), indent=2) + "\n")
