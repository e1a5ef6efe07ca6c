"""`python -m roads list|up|network`: look at the roads, run one by hand, run the simulated network."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer

from common import cli
from common.processes import ServerError, require_free_port
from roads.config import DEFAULT_CONFIG, RoadConfig, RoadsConfig
from roads.errors import RoadError

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

ConfigOption = Annotated[Path, typer.Option(help="File of roads and networks.")]


@app.command("list")
def list_roads(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """The roads of the configuration and how each is reached."""
    roads = RoadsConfig.from_yaml(config)
    for name, road in roads.roads.items():
        print(f"{name:<8} {_describe(road)}")
    for name, network in roads.networks.items():
        rate = f"{network.bandwidth_mbit_per_s:g} Mbit/s" if network.bandwidth_mbit_per_s else "no limit"
        print(
            f"network {name}: {network.description}; {network.rtt_ms:g} ms ± {network.jitter_ms:g} ms, {rate}"
        )


def _describe(road: RoadConfig) -> str:
    if road.url is not None:
        return f"endpoint {road.url}"
    server = f"services.llm --engine {road.engine}" if road.server == "llm" else "edge serve"
    network = f", behind the simulated network {road.network}" if road.network else ""
    return f"python -m {server}, default format {road.default_format}{network}"


@app.command()
def up(
    road: Annotated[str, typer.Option(help="Name of the road.")],
    bundle: Annotated[Path, typer.Option(help="Folder of the signed bundle.")],
    format: Annotated[str | None, typer.Option(help="fp32, bf16 or an ONNX variant.")] = None,
    public_key: Annotated[Path | None, typer.Option(help="Default: keys/signing.pub.")] = None,
    log_dir: Annotated[Path | None, typer.Option(help="Where logs go; default: a temporary folder.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Start a road, print how to call it, and stop it on Ctrl-C or SIGTERM."""
    from bundle import Bundle
    from roads.opening import RoadSpec, open_road

    logs = log_dir or Path(tempfile.mkdtemp(prefix="trivium-roads-"))
    spec = RoadSpec(road=road, format=format, public_key=public_key, config=config)
    model = Bundle.open(bundle).model_id
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    print(f"starting {road} (log: {logs / f'{road}.log'})", flush=True)
    with open_road(spec, bundle, log_dir=logs) as opened:
        body = json.dumps(
            {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 32}
        )
        simulated = f", simulated {' and '.join(opened.simulated)}" if opened.simulated else ""
        print(f"ready after {opened.cold_start_seconds:.1f} s: {opened.base_url}{simulated}")
        print(f"curl {opened.base_url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'")
        print("Ctrl-C stops it", flush=True)
        stop.wait()


def _interrupt() -> None:
    raise KeyboardInterrupt


@app.command()
def network(
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on.")],
    upstream: Annotated[str, typer.Option(help="HOST:PORT of the server behind it.")],
    profile: Annotated[str, typer.Option(help="Name under `networks` in the configuration.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Relay TCP connections with the delay, jitter and bandwidth of a network."""
    from roads.network import serve

    networks = RoadsConfig.from_yaml(config).networks
    if profile not in networks:
        raise RoadError(f"no network {profile!r} in {config}; known: {', '.join(sorted(networks)) or 'none'}")
    host, port = _address(listen)
    require_free_port(host, port)
    try:
        asyncio.run(serve(networks[profile], (host, port), _address(upstream)))
    except OSError as exc:
        raise ServerError(f"{listen}: {exc.strerror or exc}") from exc


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise RoadError(f"{text!r}: write it as HOST:PORT, for example 127.0.0.1:8000")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    cli.run(app)
