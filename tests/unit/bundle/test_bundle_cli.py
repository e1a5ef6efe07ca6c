"""The command line from outside: one line on stderr and exit code 2 for what the user can mend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundle import Bundle
from tests.fixtures.plain_bundle import write_plain_model

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bundle", *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TRIVIUM_KEYS": str(folder / "keys")},
    )  # fmt: skip


def test_from_model_to_verified_bundle(tmp_path: Path) -> None:
    write_plain_model(tmp_path / "m")
    (tmp_path / "b.yaml").write_text("model: m\nname: plain\nversion: '1'\nlicence: MIT\n")
    built = run(tmp_path, "build", "--config", "b.yaml", "--version", "2")
    assert built.returncode == 0, built.stderr
    folder = "bundles/plain/2"
    digest = Bundle.open(tmp_path / folder).digest
    assert built.stdout == f"built {folder}\ndigest {digest}\n"
    again = run(tmp_path, "build", "--config", "b.yaml", "--version", "2")
    assert again.returncode == 2
    assert again.stderr.startswith(f"error: {folder}: this version is there already")
    assert run(tmp_path, "sign", folder).returncode == 0
    verified = run(tmp_path, "verify", folder)
    assert verified.returncode == 0
    assert digest in verified.stdout
    shown = run(tmp_path, "show", folder)
    assert "plain 2" in shown.stdout
    assert json.loads(run(tmp_path, "show", folder, "--json").stdout)["licence"] == "MIT"
    (tmp_path / folder / "model/config.json").write_text("{}")
    broken = run(tmp_path, "verify", folder)
    assert broken.returncode == 2
    assert broken.stdout == ""
    assert broken.stderr.startswith("error: model/config.json: changed")
    assert broken.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "nowhere"], "nowhere: no such bundle folder"),
        (["show", "nowhere"], "nowhere: no such bundle folder"),
        (["build"], "options: model: Field required"),
        (["build", "--config", "none.yaml"], "none.yaml: no such file"),
        (["verify", "x", "--identity", "a@b"], "--identity and --issuer go together"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_importing_the_bundle_is_light() -> None:
    """The edge server imports it: none of what signs, trains or builds may come along."""
    heavy = {
        "torch",
        "transformers",
        "model_signing",
        "sigstore",
        "cyclonedx",
        "cryptography",
        "numpy",
        "typer",
    }
    code = "import sys, bundle; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())
