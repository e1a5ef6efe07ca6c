"""One tiny signed bundle with both variants, and servers on it, shared by the edge's integration tests."""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.processes import ServerProcess, free_port
from tests.fixtures.tiny_bundle import TinyBundle, make_tiny_bundle

ROOT = Path(__file__).parents[3]


@functools.cache
def exported_bundle() -> TinyBundle:
    """A signed tiny bundle with onnx/fp32 and onnx/int4."""
    from bundle.signing import sign
    from edge.export import export_variants

    folder = Path(_scratch().name)
    tiny = make_tiny_bundle(folder)
    export_variants(tiny.path, ["fp32", "int4"])
    sign(tiny.path, tiny.private_key)
    return tiny


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="edge-integration-")


def edge_python() -> str:
    """The environment without torch where it is installed, else this one."""
    lean = ROOT / ".venv-edge/bin/python"
    chosen = str(lean) if lean.exists() else sys.executable
    print(f"edge server runs in {chosen}")
    return chosen


@dataclass(frozen=True)
class RunningEdge:
    """A ready server."""

    port: int
    process: ServerProcess


def command(bundle: Path, port: int, public_key: Path, *options: str) -> list[str]:
    """The command line of a server."""
    return [
        edge_python(), "-m", "edge", "serve", "--bundle", str(bundle), "--port", str(port),
        "--public-key", str(public_key), "--threads", "1", *options,
    ]  # fmt: skip


@contextmanager
def running(variant: str, *options: str) -> Iterator[RunningEdge]:
    """A server on the tiny bundle, stopped at the end."""
    tiny, port = exported_bundle(), free_port()
    with tempfile.TemporaryDirectory() as logs:
        process = ServerProcess(
            command(tiny.path, port, tiny.public_key, "--variant", variant, *options),
            log=Path(logs) / "edge.log", ready_url=f"http://127.0.0.1:{port}/ready", cwd=ROOT,
        )  # fmt: skip
        with process:
            process.wait_ready(60)
            yield RunningEdge(port, process)
