"""Building: what goes in, what is refused, and that the same inputs give the same bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from pydantic import ValidationError

from bundle import Bundle, BundleError, check_content, errors
from bundle.build import BuildRequest
from common.errors import ConfigError
from tests.fixtures.plain_bundle import build_plain_bundle, write_plain_model

pytestmark = pytest.mark.unit

EVALUATION = [
    {
        "metric": "bleu",
        "value": 68.25,
        "n": 547,
        "ci_low": 66.5,
        "ci_high": 70.0,
        "split": "dev",
        "samples": [],
    },
    {"metric": "ser", "value": 0.01, "n": 547},
]
GATES = [{"name": "slot errors", "passed": True, "detail": "0.01 <= 0.05"}, {"name": "size", "passed": False}]
CARD = {
    "name": "venues", "source": "built-in | generator", "licence": "CC0-1.0", "digest": "sha256:12",
    "rows": {"train": 20000, "dev": 500}, "seed": 1,
}  # fmt: skip


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    write_json(tmp_path / "runs/sft/config.json", {"lr": 0.001, "layers": [1, 2]})
    write_json(tmp_path / "runs/sft/result.json", {"seed": 7, "git_commit": "abc123", "seconds": 3.2})
    return {
        "evaluation": write_json(tmp_path / "evaluation.json", EVALUATION),
        "gates": write_json(tmp_path / "gates.json", {"results": GATES}),
        "data_card": write_json(tmp_path / "card.json", CARD),
        "run": tmp_path / "runs/sft",
    }


def test_manifest_says_where_the_model_came_from(tmp_path: Path, inputs: dict[str, Path]) -> None:
    manifest = Bundle.open(build_plain_bundle(tmp_path, **inputs)).manifest
    assert (manifest.job.name, manifest.job.seed, manifest.job.git_commit) == ("sft", 7, "abc123")
    assert manifest.job.config == {"lr": 0.001, "layers": [1, 2]}
    assert (manifest.data.digest, manifest.data.rows["train"]) == ("sha256:12", 20000)
    assert (manifest.evaluation[0].ci_low, manifest.evaluation[1].ci_low) == (66.5, None)
    assert [gate.passed for gate in manifest.gates] == [True, False]
    assert [template.name for template in manifest.prompt_templates] == ["chat_template"]
    assert manifest.created is None


def test_job_that_nests_its_settings_is_understood(tmp_path: Path) -> None:
    """The layout of `python -m training`: settings under `identity`, measurements in result.json."""
    write_json(tmp_path / "run/config.json", {"identity": {"job": "sft", "seed": 3}, "parameters": 10})
    job = Bundle.open(build_plain_bundle(tmp_path, run=tmp_path / "run", git_commit="fedcba")).manifest.job
    assert (job.name, job.seed, job.git_commit) == ("sft", 3, "fedcba")
    assert job.config["parameters"] == 10


def test_same_inputs_give_the_same_bytes(tmp_path: Path, inputs: dict[str, Path]) -> None:
    first = build_plain_bundle(tmp_path / "a", **inputs)
    second = build_plain_bundle(tmp_path / "b", **inputs)
    names = sorted(path.relative_to(first).as_posix() for path in first.rglob("*") if path.is_file())
    assert names == sorted(
        path.relative_to(second).as_posix() for path in second.rglob("*") if path.is_file()
    )
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    assert Bundle.open(first).digest == Bundle.open(second).digest
    other = build_plain_bundle(tmp_path / "c", **inputs | {"licence": "MIT"})
    assert Bundle.open(other).digest != Bundle.open(first).digest


def test_time_comes_from_the_environment_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    folder = build_plain_bundle(tmp_path)
    assert Bundle.open(folder).manifest.created == "1970-01-02T00:00:00Z"
    assert json.loads((folder / "mlbom.cdx.json").read_bytes())["metadata"]["timestamp"].startswith(
        "1970-01-02"
    )
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(errors.BundleError, match="SOURCE_DATE_EPOCH='yesterday'"):
        build_plain_bundle(tmp_path, version="2")


def test_card_shows_data_and_evaluation(tmp_path: Path, inputs: dict[str, Path]) -> None:
    card = (build_plain_bundle(tmp_path, **inputs) / "MODEL_CARD.md").read_text()
    assert "| bleu | dev | 68.25 | 66.5 to 70 | 547 |" in card
    assert "| ser |  | 0.01 | not given | 547 |" in card
    assert "| size | FAILED |" in card
    assert r"venues (built-in \| generator)" in card
    for heading in ("Intended use", "Training and data", "Evaluation", "Limits", "How to verify"):
        assert f"## {heading}" in card


@pytest.mark.parametrize("licence", ["Apache-2.0", "MIT OR Apache-2.0", "our own terms: ask"])
def test_ml_bom_follows_the_schema(tmp_path: Path, inputs: dict[str, Path], licence: str) -> None:
    folder = build_plain_bundle(tmp_path, **inputs, licence=licence)
    text = (folder / "mlbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    model = json.loads(text)["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]["type"] == "bleu"
    hashes = {part["name"]: part["hashes"][0]["content"] for part in model["components"]}
    listed = {entry.path: entry.sha256 for entry in Bundle.open(folder).manifest.files}
    assert hashes == {path: digest for path, digest in listed.items() if path.startswith("model/")}


def test_version_that_is_there_is_kept(tmp_path: Path) -> None:
    folder = build_plain_bundle(tmp_path)
    before = Bundle.open(folder).digest
    with pytest.raises(errors.BundleExists, match="this version is there already"):
        build_plain_bundle(tmp_path, licence="MIT")
    assert Bundle.open(folder).digest == before
    build_plain_bundle(tmp_path, licence="MIT", replace=True)
    assert check_content(folder).manifest.licence == "MIT"


def test_trainer_leftovers_stay_behind_and_licences_come_along(tmp_path: Path) -> None:
    model = write_plain_model(tmp_path / "source-model")
    for name in ("training_args.bin", "optimizer.pt", "trainer_state.json", "run.log"):
        (model / name).write_bytes(b"x")
    (model / "LICENSE").write_text("terms")
    names = {entry.path for entry in Bundle.open(build_plain_bundle(tmp_path)).manifest.files}
    assert "model/LICENSE" in names
    assert not any(name.endswith((".bin", ".pt", "trainer_state.json", ".log")) for name in names)


def test_hub_cache_of_links_becomes_real_files(tmp_path: Path) -> None:
    blobs = write_plain_model(tmp_path / "blobs")
    (tmp_path / "source-model").mkdir()
    for blob in blobs.iterdir():
        (tmp_path / "source-model" / blob.name).symlink_to(blob)
    folder = build_plain_bundle(tmp_path)
    assert check_content(folder)
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o644}


def pickled(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def disguised(model: Path) -> None:
    import pickle

    (model / "model.safetensors").write_bytes(pickle.dumps({}))


REFUSED: dict[str, tuple[Callable[[Path], object], type[BundleError], str]] = {
    "pickled weights": (pickled, errors.PickleInDisguise, r"pytorch_model\.bin: pickled weights"),
    "disguised pickle": (disguised, errors.PickleInDisguise, r"model\.safetensors: pickle in disguise"),
    "no weights": (lambda m: (m / "model.safetensors").unlink(), errors.BundleError, r"no \.safetensors"),
    "no config": (lambda m: (m / "config.json").unlink(), errors.BundleError, r"config\.json: No such file"),
    "no folder": (shutil.rmtree, errors.BundleError, "no such model folder"),
    "code": (
        lambda m: write_json(m / "config.json", {"auto_map": {}}), errors.BundleError, "holds no code",
    ),
    "missing shard": (
        lambda m: write_json(m / "model.safetensors.index.json", {"weight_map": {"w": "2.safetensors"}}),
        errors.BundleError, r"2\.safetensors is missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_models_that_no_bundle_may_hold(tmp_path: Path, case: str) -> None:
    spoil, kind, message = REFUSED[case]
    model = write_plain_model(tmp_path / "source-model")
    spoil(model)
    with pytest.raises(kind, match=message):
        build_plain_bundle(tmp_path, model=model)
    assert not list(tmp_path.glob("bundles/**/*"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("evaluation", {"metric": "bleu"}, "expected a JSON list"),
        ("evaluation", ["bleu"], "row 1: expected a JSON object"),
        ("evaluation", [{"metric": "bleu", "value": "high", "n": 3}], "row 1: value: Input should be"),
        ("gates", [{"name": "size"}], "row 1: passed: Field required"),
        ("data_card", {"name": "venues"}, "digest: Field required"),
    ],
)
def test_records_that_say_too_little_name_the_field(
    tmp_path: Path, name: str, value: Any, message: str
) -> None:
    path = write_json(tmp_path / f"{name}.json", value)
    with pytest.raises(errors.BundleError, match=message) as caught:
        build_plain_bundle(tmp_path, **{name: path})
    assert str(caught.value).startswith(str(path))


def test_misspelt_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bundle.yaml"
    path.write_text("model: m\nname: n\nversion: '1'\nevaluatoin: e.json\n")
    with pytest.raises(ConfigError, match="unknown key 'evaluatoin'; did you mean 'evaluation'"):
        BuildRequest.from_yaml(path)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b", "x" * 200])
def test_name_and_version_cannot_leave_the_output(name: str) -> None:
    with pytest.raises(ValidationError):
        BuildRequest(model=Path("m"), name=name, version="1")
    with pytest.raises(ValidationError):
        BuildRequest(model=Path("m"), name="n", version=name)
