"""Make an unsigned bundle from a model folder and the records of how it was made."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from bundle.errors import BundleError, BundleExists, PickleInDisguise
from bundle.formats import PICKLE_SUFFIXES, check_format
from bundle.golden import compute_golden, read_prompts
from bundle.inventory import hash_files
from bundle.manifest import Identifier, Manifest
from bundle.sources import (
    read_data,
    read_evaluation,
    read_gates,
    read_job,
    read_object,
    read_templates,
)
from bundle.write import write_documents
from common.config import StrictModel
from common.files import atomic_folder

MODEL_SUFFIXES = frozenset({".json", ".safetensors", ".txt", ".jinja", ".model", ".tiktoken"})
"""What a Hugging Face model folder needs to load; a trainer's optimizer states stay behind."""
TRAINER_FILES = frozenset(
    {"trainer_state.json", "all_results.json", "train_results.json", "eval_results.json"}
)
LEGAL_PREFIXES = ("LICENSE", "LICENCE", "NOTICE", "USE_POLICY")


class BuildRequest(StrictModel):
    """Everything that goes into a bundle. Paths are read; nothing is fetched."""

    model: Path
    """Hugging Face folder with safetensors weights."""
    name: Identifier
    version: Identifier
    output: Path = Path("bundles")
    """The bundle becomes `<output>/<name>/<version>/`."""
    run: Path | None = None
    """Folder of the job, for `config.json` and `result.json`."""
    git_commit: str | None = None
    """The code that trained the model, where the job's records do not say."""
    data_card: Path | None = None
    evaluation: Path | None = None
    gates: Path | None = None
    prompts: Path | None = None
    """Golden prompts: JSONL rows with messages, input or prompt; or one prompt a line."""
    golden_count: int = Field(default=16, ge=1, le=1024)
    max_new_tokens: int = Field(default=64, ge=1, le=4096)
    prompt_templates: list[Path] = []
    base_model: str = "none: trained from scratch"
    licence: str = "Apache-2.0"
    intended_use: str = (
        "Text generation from prompts of the kind it was trained on; see the data and the evaluation."
    )
    limits: list[str] = [
        "Answers can be wrong in content; check them by program or by eye where it matters.",
        "Evaluated only on the data and metrics in the table above.",
    ]
    replace: bool = False
    """Replace this version if it is there; without it that is an error."""


def build_bundle(request: BuildRequest) -> Path:
    """Build the bundle and return its folder. It is there whole, or not at all.

    Raises BundleExists, PickleInDisguise, WrongFormat, another BundleError for inputs that cannot be read,
    or FileError (disk full).
    """
    target = request.output / request.name / request.version
    if target.exists() and not request.replace:
        raise BundleExists(
            f"{target}: this version is there already; choose another --version or say --replace"
        )
    sources = _model_files(request.model)
    manifest = _manifest(request)
    with atomic_folder(target) as folder:
        for relative, source in sources.items():
            destination = folder / "model" / relative
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, destination)
        write_documents(folder, manifest.model_copy(update={"files": hash_files(folder)}))
    return target


def _manifest(request: BuildRequest) -> Manifest:
    """All of the manifest but the list of files. The golden prompts come last, being the slow part."""
    prompts = read_prompts(request.prompts, request.golden_count) if request.prompts is not None else []
    manifest = Manifest(
        name=request.name,
        version=request.version,
        created=_created(),
        base_model=request.base_model,
        licence=request.licence,
        intended_use=request.intended_use,
        limits=request.limits,
        job=read_job(request.run, request.git_commit),
        data=read_data(request.data_card),
        evaluation=read_evaluation(request.evaluation),
        gates=read_gates(request.gates),
        prompt_templates=read_templates(request.model, request.prompt_templates),
        files=[],
    )
    golden = compute_golden(request.model, prompts, request.max_new_tokens) if prompts else []
    return manifest.model_copy(update={"golden": golden})


def _model_files(model: Path) -> dict[str, Path]:
    """The files to copy, by name. Links are followed here: a hub cache is made of them."""
    if not model.is_dir():
        raise BundleError(f"{model}: no such model folder")
    config = read_object(model / "config.json", "give a Hugging Face model folder")
    if "auto_map" in config:
        raise BundleError(f"{model}: needs its own Python code (auto_map); a bundle holds no code")
    there = {path.name: path for path in sorted(model.iterdir()) if path.is_file()}
    chosen = {name: path for name, path in there.items() if _belongs(path)}
    for name, path in chosen.items():
        check_format(path, name)
    _require_weights(model, chosen, there)
    return chosen


def _belongs(path: Path) -> bool:
    return path.name.startswith(LEGAL_PREFIXES) or (
        path.suffix in MODEL_SUFFIXES and path.name not in TRAINER_FILES
    )


def _require_weights(model: Path, chosen: dict[str, Path], there: dict[str, Path]) -> None:
    """All shards of the index, or at least one safetensors file."""
    index = chosen.get("model.safetensors.index.json")
    if index is not None:
        weight_map = read_object(index).get("weight_map")
        shards = set(weight_map.values()) if isinstance(weight_map, dict) else set()
        missing = sorted(str(shard) for shard in shards - set(chosen))
        if missing:
            raise BundleError(f"{model}: {missing[0]} is missing, {index.name} names it")
    if any(name.endswith(".safetensors") for name in chosen):
        return
    pickles = [name for name, path in there.items() if path.suffix.lower() in PICKLE_SUFFIXES]
    if pickles:
        raise PickleInDisguise(
            f"{model / pickles[0]}: pickled weights; save them as safetensors (`model.save_pretrained(...)`)"
        )
    raise BundleError(f"{model}: no .safetensors file in this folder")


def _created() -> str | None:
    """SOURCE_DATE_EPOCH (reproducible-builds.org) as RFC 3339, if it is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return None
    try:
        return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError) as exc:
        raise BundleError(f"SOURCE_DATE_EPOCH={epoch!r}: expected seconds since 1970") from exc
