"""A disk that fills up in the middle of a write leaves the old state and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bundle import verify
from bundle.keys import ensure_key_pair
from bundle.signing import sign
from tests.fixtures.plain_bundle import build_plain_bundle, write_plain_model

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]

LIMITED = """
import resource, signal, sys
from common.cli import run
limit = int(sys.argv.pop(1))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
exec(sys.argv.pop(1))
"""
"""A file that grows beyond the limit fails to write like one on a full disk; that needs no root."""

BUILD = "from bundle.__main__ import app; run(app)"
EXPORT = """
from pathlib import Path
from bundle.edit import add_files
def export():
    with add_files(Path(sys.argv[1]), 'onnx/int4') as new:
        (new / 'model.onnx').write_bytes(b'\\x08\\x0a')
        (new / 'model.onnx.data').write_bytes(bytes(100_000))
run(export)
"""


def limited(limit: int, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), program, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# 1: the copy of the weights fails; 1500: they fit, the ML-BOM does not.
@pytest.mark.parametrize("limit", [1, 1500])
def test_build_on_a_full_disk(tmp_path: Path, limit: int) -> None:
    model = write_plain_model(tmp_path / "m")
    output = tmp_path / "out"
    done = limited(
        limit, BUILD, "build", "--model", str(model), "--name", "n", "--version", "1", "--output", str(output)
    )
    assert done.returncode == 2
    assert "could not be written: File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert everything(output) == []


@pytest.mark.parametrize("limit", [1500, 150_000])
def test_export_on_a_full_disk_keeps_the_signed_bundle(tmp_path: Path, limit: int) -> None:
    folder = build_plain_bundle(tmp_path)
    private, public = ensure_key_pair(tmp_path / "keys")
    sign(folder, private)
    before = {name: (folder.parent / name).read_bytes() for name in everything(folder.parent)}
    done = limited(limit, EXPORT, str(folder))
    if limit > 100_000:
        assert done.returncode == 0, done.stderr
        assert verify_fails_as_unsigned(folder, public)
        return
    assert done.returncode == 2
    assert "File too large" in done.stderr
    assert {name: (folder.parent / name).read_bytes() for name in everything(folder.parent)} == before
    assert verify(folder, public).verified


def verify_fails_as_unsigned(folder: Path, public: Path) -> bool:
    from bundle.errors import SignatureMissing

    with pytest.raises(SignatureMissing):
        verify(folder, public)
    return True
