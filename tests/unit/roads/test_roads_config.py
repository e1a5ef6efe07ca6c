"""The roads' configuration, and what it makes of a road's name."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from bundle import BundleError
from bundle.manifest import Data, FileEntry, Job, Manifest
from common.errors import ConfigError
from roads import RoadError, RoadsConfig, RoadSpec, make_road, open_road
from roads.config import DEFAULT_CONFIG
from roads.kinds import ProcessRoad, SimulatedNetworkRoad, UrlRoad

pytestmark = pytest.mark.unit


@pytest.fixture
def bundle_dir(tmp_path: Path) -> Path:
    """A manifest that lists one file of each format; enough to open, not to load."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    entry = {"sha256": "0" * 64}
    manifest = Manifest(
        name="tiny", version="1", base_model="none", licence="none", intended_use="test", limits=[],
        job=Job(name="test"), evaluation=[], gates=[], prompt_templates=[],
        data=Data(name="none", digest="none", licence="none", source="none"),
        golden=[],
        files=[
            FileEntry(path="model/model.safetensors", size=1000, **entry),
            FileEntry(path="onnx/int4/model.onnx", size=300, **entry),
        ],
    )  # fmt: skip
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return folder


def config_file(folder: Path, **roads: dict[str, object]) -> Path:
    path = folder / "roads.yaml"
    path.write_text(yaml.safe_dump({"roads": roads, "networks": {"slow": {"description": "x", "rtt_ms": 1}}}))
    return path


def test_the_shipped_file_has_the_three_roads() -> None:
    roads = RoadsConfig.from_yaml(DEFAULT_CONFIG).roads
    assert set(roads) == {"onprem", "cloud", "edge"}
    assert roads["cloud"].network is not None


@pytest.mark.parametrize(
    ("road", "said"),
    [
        ({"knid": "url"}, "did you mean 'kind'"),
        ({"kind": "url"}, "kind: url needs url"),
        ({"url": "http://x"}, "url is for kind: url"),
        ({"network": "fast"}, "no profile 'fast'; known: slow"),
        ({"kind": "url", "url": "http://x", "network": "slow"}, "not before a url"),
        ({"port": 70000}, "port"),
    ],
)
def test_a_wrong_road_is_named(tmp_path: Path, road: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        RoadsConfig.from_yaml(config_file(tmp_path, x=road))


def test_the_cloud_is_marked_as_simulated_and_the_others_are_not(bundle_dir: Path, tmp_path: Path) -> None:
    roads = {name: make_road(RoadSpec(name), bundle_dir, tmp_path) for name in ("onprem", "cloud", "edge")}
    assert isinstance(roads["cloud"], SimulatedNetworkRoad)
    assert {name: road.simulated for name, road in roads.items()} == {
        "onprem": (), "cloud": ("network",), "edge": (),
    }  # fmt: skip


def test_the_artifact_is_what_the_format_loads(bundle_dir: Path, tmp_path: Path) -> None:
    assert make_road(RoadSpec("onprem"), bundle_dir, tmp_path).artifact_bytes == 1000
    assert make_road(RoadSpec("edge", "int4"), bundle_dir, tmp_path).artifact_bytes == 300


@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        (RoadSpec("moon"), RoadError, "no road 'moon' .*known: cloud, edge, onprem"),
        (RoadSpec("onprem", "int4"), RoadError, "no format 'int4'; known: fp32, bf16, fp16"),
        (RoadSpec("edge", "int2"), BundleError, "int2"),
    ],
)
def test_what_there_is_not_is_said(
    bundle_dir: Path, tmp_path: Path, spec: RoadSpec, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        make_road(spec, bundle_dir, tmp_path)


def command(spec: RoadSpec, bundle_dir: Path, folder: Path) -> list[str]:
    road = make_road(spec, bundle_dir, folder)
    assert isinstance(road, ProcessRoad)
    return road.command


def test_settings_reach_the_model_server(bundle_dir: Path, tmp_path: Path) -> None:
    road = {
        "engine": "vllm",
        "config": "/c.yaml",
        "threads": 3,
        "port": 4444,
        "host": "127.0.0.2",
        "python": "/py",
    }
    spec = RoadSpec("x", "bf16", Path("/k.pub"), config_file(tmp_path, x=road))
    words = command(spec, bundle_dir, tmp_path)
    assert words[:3] == ["/py", "-m", "services.llm"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options == {
        "--bundle": str(bundle_dir), "--host": "127.0.0.2", "--port": "4444", "--public-key": "/k.pub",
        "--engine": "vllm", "--road": "x", "--dtype": "bfloat16", "--config": "/c.yaml",
        "--set": "engine.threads=3",
    }  # fmt: skip


def test_settings_reach_the_edge_server(bundle_dir: Path, tmp_path: Path) -> None:
    road = {"server": "edge", "python": "/py", "threads": 2, "default_format": "int4"}
    words = command(RoadSpec("x", config=config_file(tmp_path, x=road)), bundle_dir, tmp_path)
    assert words[:4] == ["/py", "-m", "edge", "serve"]
    assert words[words.index("--variant") + 1] == "int4"
    assert words[words.index("--threads") + 1] == "2"


SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"{}")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_process_road_measures_its_start_and_memory_and_ends(tmp_path: Path) -> None:
    from common.processes import free_port

    port = free_port()
    road = ProcessRoad(
        [sys.executable, "-c", SERVER, str(port)], address=("127.0.0.1", port), log=tmp_path / "x.log",
        artifact_bytes=1, start_timeout_seconds=20,
    )  # fmt: skip
    with road:
        assert 0 < road.cold_start_seconds < 20
        assert road.rss_bytes() > 1_000_000
    assert road.rss_bytes() == 0


@pytest.fixture
def endpoint(bundle_dir: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A server elsewhere, and what it says of itself on /ready (to be changed by a test)."""
    digest = hashlib.sha256((bundle_dir / "manifest.json").read_bytes()).hexdigest()
    ready = {"status": "ready", "bundle_digest": f"sha256:{digest}"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            metrics = b"process_resident_memory_bytes 1.5e+08\n"
            self.wfile.write(metrics if self.path == "/metrics" else json.dumps(ready).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", ready
    server.shutdown()
    server.server_close()


def test_a_url_takes_a_road_over(
    bundle_dir: Path, tmp_path: Path, endpoint: tuple[str, dict[str, str]]
) -> None:
    config = config_file(tmp_path, cloud={"kind": "url", "url": endpoint[0] + "/"})
    with open_road(RoadSpec("cloud", config=config), bundle_dir, log_dir=tmp_path) as road:
        assert isinstance(road, UrlRoad)
        assert road.base_url == endpoint[0]
        assert road.simulated == ()
        assert road.rss_bytes() == 150_000_000


def test_an_endpoint_with_another_bundle_is_refused(
    bundle_dir: Path, tmp_path: Path, endpoint: tuple[str, dict[str, str]]
) -> None:
    endpoint[1]["bundle_digest"] = "sha256:other"
    config = config_file(tmp_path, cloud={"kind": "url", "url": endpoint[0]})
    with (
        pytest.raises(RoadError, match="serves bundle sha256:other"),
        open_road(RoadSpec("cloud", config=config), bundle_dir, log_dir=tmp_path),
    ):
        pass
