"""From a road's name, a format and a bundle to a road that runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bundle import Bundle
from common.processes import free_port
from roads.base import Road
from roads.config import DEFAULT_CONFIG, RoadConfig, RoadsConfig
from roads.errors import RoadError
from roads.kinds import ROOT, ProcessRoad, SimulatedNetworkRoad, UrlRoad

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Formats of the vLLM roads and vLLM's name of each; they all load the bundle's safetensors."""


@dataclass(frozen=True)
class RoadSpec:
    """Which road, with which format of the model."""

    road: str
    """A name in the configuration: `onprem`, `cloud`, `edge`."""
    format: str | None = None
    """vLLM roads: `fp32`, `bf16`, `fp16`; edge: an ONNX variant (`fp32`, `int4`). None: its default."""
    public_key: Path | None = None
    """None: `keys/signing.pub` (TRIVIUM_KEYS)."""
    config: Path = DEFAULT_CONFIG


@contextmanager
def open_road(spec: RoadSpec, bundle_dir: Path, *, log_dir: Path) -> Iterator[Road]:
    """Start (or attach to) a road, and stop it at the end. Logs go to `log_dir`.

    Raises RoadError for an unknown road or format, BundleError where the bundle has no such variant, and
    ServerError, with the end of the log, where a server does not become ready.
    """
    with make_road(spec, bundle_dir, log_dir) as road:
        yield road


def make_road(spec: RoadSpec, bundle_dir: Path, log_dir: Path) -> Road:
    """The road, not started yet. Raises RoadError and BundleError."""
    roads = RoadsConfig.from_yaml(spec.config)
    if spec.road not in roads.roads:
        raise RoadError(f"no road {spec.road!r} in {spec.config}; known: {', '.join(sorted(roads.roads))}")
    config = roads.roads[spec.road]
    # The server verifies; here only sizes and names are read.
    bundle = Bundle.open(bundle_dir.resolve())
    format_ = spec.format or config.default_format
    artifact_bytes = _artifact_bytes(bundle, spec.road, config, format_)
    if config.url is not None:
        return UrlRoad(
            config.url, bundle_digest=bundle.digest, artifact_bytes=artifact_bytes,
            wait_seconds=config.start_timeout_seconds,
        )  # fmt: skip
    address = (config.host, config.port or free_port(config.host))
    server = ProcessRoad(
        _command(spec, config, bundle, format_, address), address=address, log=log_dir / f"{spec.road}.log",
        artifact_bytes=artifact_bytes, start_timeout_seconds=config.start_timeout_seconds, env=_environment(),
    )  # fmt: skip
    if config.network is None:
        return server
    road = SimulatedNetworkRoad(
        server, profile=config.network, config=spec.config, host=config.host, log=log_dir / "network.log"
    )
    network = roads.networks[config.network]
    road.notes = (
        f"simulated network: {network.description}; round trip {network.rtt_ms:g} ms, jitter "
        f"{network.jitter_ms:g} ms, {network.bandwidth_mbit_per_s:g} Mbit/s",
    )
    return road


def _artifact_bytes(bundle: Bundle, name: str, config: RoadConfig, format_: str) -> int:
    if config.server == "edge":
        return bundle.artifact_bytes(format_)
    if format_ not in DTYPES:
        raise RoadError(f"road {name!r} serves no format {format_!r}; known: {', '.join(DTYPES)}")
    return bundle.artifact_bytes("safetensors")


def _command(
    spec: RoadSpec, config: RoadConfig, bundle: Bundle, format_: str, address: tuple[str, int]
) -> list[str]:
    host, port = address
    common = ["--bundle", str(bundle.path), "--host", host, "--port", str(port)]
    if spec.public_key is not None:
        common += ["--public-key", str(spec.public_key.resolve())]
    if config.server == "edge":
        threads = ["--threads", str(config.threads)] if config.threads else []
        return [str(edge_python(config)), "-m", "edge", "serve", *common, "--variant", format_, *threads]
    command = [str(config.python or sys.executable), "-m", "services.llm", *common]
    command += ["--engine", config.engine, "--road", spec.road, "--dtype", DTYPES[format_]]
    if config.config is not None:
        command += ["--config", str(config.config)]
    if config.threads:
        command += ["--set", f"engine.threads={config.threads}"]
    return command


def edge_python(config: RoadConfig) -> Path:
    """The interpreter of the torch-free environment, or this one where that is not installed."""
    if config.python is not None:
        return config.python
    installed = ROOT / ".venv-edge" / "bin" / "python"
    return installed if installed.exists() else Path(sys.executable)


def _environment() -> dict[str, str]:
    """Children find our packages from any working folder, and write their logs line by line."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
