"""The command `prompt-search`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.errors import EvaluationError
from evaluation.prompting.models import HereModel, PromptModel, ServedModel
from evaluation.prompting.task import PromptTask

CONFIGS = Path(__file__).parents[1] / "configs"


def prompt_search(
    output: Annotated[Path, typer.Option(help="Folder for prompt.json, report.json and the answers.")],
    task: Annotated[Path, typer.Option(help="The task file.")] = CONFIGS / "prompt-describe.yaml",
    model_dir: Annotated[
        Path | None, typer.Option(help="A Hugging Face model folder, or a run that wrote model/.")
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="A bundle, answered in this process.")] = None,
    public_key: Annotated[Path | None, typer.Option(help="Key to verify the bundle with.")] = None,
    url: Annotated[str | None, typer.Option(help="A server that speaks the OpenAI chat API.")] = None,
    model: Annotated[str | None, typer.Option(help="Model id to ask the server for [the only one].")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Tokenizer folder to count a server's tokens with [4 bytes a token].")
    ] = None,
    precision: Annotated[str, typer.Option("--format", help="fp32 or bf16, in this process.")] = "fp32",
    concurrency: Annotated[int, typer.Option(min=1, help="Requests under way at once.")] = 8,
    batch_size: Annotated[int, typer.Option(min=1, help="Inputs at once in this process.")] = 32,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value over the task file, for example budget=200000"),
    ] = None,
) -> None:
    """Search instructions, demonstrations and formats within a budget; report on held-out inputs."""
    from evaluation.prompting.job import run_search
    from evaluation.prompting.report import as_text

    wanted = PromptTask.from_yaml(task, overrides)
    if sum(given is not None for given in (model_dir, bundle, url)) != 1:
        raise EvaluationError("give one of --model-dir DIR, --bundle DIR and --url URL: who is to answer?")
    answering: PromptModel
    if url is not None:
        answering = ServedModel(url, model, tokenizer, concurrency)
    else:
        answering = HereModel(_folder(model_dir, bundle, public_key), precision, batch_size)
    found = run_search(wanted, answering, output)
    print(as_text(found.report))
    print(f"written: {output / 'prompt.json'}, {output / 'report.json'}", file=sys.stderr)


def _folder(model_dir: Path | None, bundle: Path | None, public_key: Path | None) -> Path:
    if model_dir is not None:
        folder = model_dir / "model" if (model_dir / "model").is_dir() else model_dir
        if not (folder / "config.json").is_file():
            raise EvaluationError(f"--model-dir {model_dir}: no model there (config.json, model.safetensors)")
        return folder
    from bundle import verify

    if bundle is None:
        raise EvaluationError("give --model-dir or --bundle")
    return verify(bundle, public_key).model_dir
