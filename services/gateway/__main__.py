"""`python -m services.gateway --config FILE [--host H] [--port P]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common import cli
from services.gateway.config import GatewayConfig
from services.gateway.server import serve

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    config: Annotated[Path, typer.Option(help="routes, limits, events; see services/gateway/config.py")],
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="port to listen on")] = 8000,
) -> None:
    """Serve the OpenAI API in front of the model servers that FILE names."""
    serve(GatewayConfig.from_yaml(config), host, port)


if __name__ == "__main__":
    cli.run(app)
