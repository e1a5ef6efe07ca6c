"""`python -m services.llm`: serve a verified bundle with vLLM, on Ray Serve or in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.cli import run
from services.llm.config import CONFIGS, DType, ServerSettings
from services.llm.server import Engine, Launch
from services.llm.server import run as serve

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    bundle: Annotated[Path, typer.Option(help="Folder of the signed bundle.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    engine: Annotated[Engine, typer.Option(help="`ray`: Ray Serve LLM; `vllm`: one process.")] = "ray",
    config: Annotated[Path, typer.Option(help="Settings; the defaults are configs/cpu.yaml.")] = CONFIGS
    / "cpu.yaml",
    public_key: Annotated[Path | None, typer.Option(help="Key that must have signed the bundle.")] = None,
    dtype: Annotated[DType | None, typer.Option(help="Precision, in place of the configuration's.")] = None,
    road: Annotated[str | None, typer.Option(help="Road name in /ready; by engine if not given.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="A setting as key=value, e.g. engine.kv_cache_mib=128.")
    ] = None,
) -> None:
    """Verify a bundle and serve it with the OpenAI API until SIGTERM or Ctrl-C."""
    overrides = list(override or [])
    if dtype is not None:
        overrides.append(f"engine.dtype={dtype}")
    launch = Launch(
        bundle_dir=bundle, host=host, port=port, engine=engine,
        road=road or {"ray": "onprem", "vllm": "cloud"}[engine], public_key=public_key,
        settings=ServerSettings.from_yaml(config, overrides),
    )  # fmt: skip
    serve(launch)


if __name__ == "__main__":
    run(app)
