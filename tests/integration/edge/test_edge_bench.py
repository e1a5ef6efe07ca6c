"""The benchmark measures every contestant and the server, and writes what it printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.bench import PEER, BenchError, BenchOptions, bench, newest_bundle
from tests.integration.edge.edge_bundle import edge_python, exported_bundle

pytestmark = pytest.mark.integration


def test_it_writes_a_figure_for_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = exported_bundle()
    monkeypatch.setenv("TRIVIUM_KEYS", str(tiny.public_key.parent))
    output = tmp_path / "result.json"
    bench(BenchOptions(tiny.path, output, Path(edge_python()), repeats=2, new_tokens=8, prompts=2))
    result = json.loads(output.read_text())
    speeds = result["single_stream_tokens_per_second"]
    ours = {"edge fp32", "edge int4", "onnxruntime-genai fp32", "onnxruntime-genai int4"}
    assert ours < set(speeds)
    assert result["peer"].startswith(PEER)
    assert all(name.startswith(PEER) for name in set(speeds) - ours)
    for speed in speeds.values():
        assert speed["n"] == 2
        assert 0 < speed["min"] <= speed["median"] <= speed["max"]
    assert speeds[result["peer"]]["ratio_to_peer"] == 1
    for server in result["servers"]:
        assert set(server["tokens_per_second"]) == {"1", "4", "8"}
        assert len(server["ready_seconds"]) == 3
        assert 0 < server["rss_loaded_megabytes"] < 250
    printed = capsys.readouterr().out
    assert "| edge int4 |" in printed


def test_without_a_bundle_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="make demo"):
        newest_bundle(tmp_path)
