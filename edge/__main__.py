"""Command line of the edge road: `python -m edge export|serve|bench`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from common import cli

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

BundleOption = Annotated[Path, typer.Option("--bundle", help="The bundle's folder.")]


@app.command()
def export(
    bundle: BundleOption,
    variant: Annotated[list[str], typer.Option(help="fp32 or int4; give it several times for several.")],
) -> None:
    """Add ONNX variants to a bundle (needs torch; removes the signature, so sign afterwards)."""
    from edge.export import export_variants

    export_variants(bundle, variant)


@app.command()
def serve(
    bundle: BundleOption,
    port: Annotated[int, typer.Option(help="TCP port.")],
    variant: Annotated[str, typer.Option(help="The ONNX variant to load.")] = "int4",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    public_key: Annotated[Path | None, typer.Option(help="Default: keys/signing.pub.")] = None,
    threads: Annotated[int, typer.Option(help="Threads of one model run; 0: by the machine.")] = 0,
    max_sequences: Annotated[int, typer.Option(help="Requests that generate at the same time.")] = 8,
    max_waiting: Annotated[int, typer.Option(help="Requests that may wait; more are answered 429.")] = 64,
    request_seconds: Annotated[float, typer.Option(help="Longest time for one answer; then 504.")] = 120.0,
) -> None:
    """Serve a variant of a signed bundle with the OpenAI API (needs no torch)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from edge.server import ServeOptions, check_options
    from edge.server import serve as run_server

    options = ServeOptions(
        bundle, variant, host, port, public_key, threads, max_sequences, max_waiting, request_seconds
    )
    check_options(options)
    run_server(options)


@app.command()
def bench(
    bundle: Annotated[Path | None, typer.Option(help="Default: the newest below bundles/.")] = None,
    output: Annotated[Path, typer.Option(help="JSON file to write.")] = Path(
        "reports/bench-edge/result.json"
    ),
    python: Annotated[Path, typer.Option(help="Interpreter of the environment without torch.")] = Path(
        ".venv-edge/bin/python"
    ),
    repeats: Annotated[int, typer.Option(help="Interleaved repeats.")] = 7,
    new_tokens: Annotated[int, typer.Option(help="Tokens per answer.")] = 128,
    threads: Annotated[int, typer.Option(help="Threads for everybody; 0: by the machine.")] = 0,
) -> None:
    """Measure int4 and fp32 against transformers eager fp32 on the same model (needs torch)."""
    from edge.bench import BenchOptions, newest_bundle
    from edge.bench import bench as run_bench

    chosen = bundle or newest_bundle(Path("bundles"))
    run_bench(BenchOptions(chosen, output, python, repeats=repeats, new_tokens=new_tokens, threads=threads))


if __name__ == "__main__":
    cli.run(app)
