"""`make e2e-best`: train the headline model from nothing, bundle it, and answer the test inputs with it.

Every stage is a command that a person can type; what is done and unchanged is not done again.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from rich.console import Console

from common.config import StrictModel
from common.errors import TriviumError
from common.jobs import only_one
from common.stages import Stage, python_command, run_stages

_CONFIGS = Path(__file__).parents[1] / "configs"


_TITLES = {"pretrain": "pretraining", "polish": "fine-tuning on beam answers"}


class BestConfig(StrictModel):
    """Settings of the headline job (`training/configs/e2e-best.yaml`)."""

    name: str
    """Names the data sets, the run folder and the bundle."""
    source: Path
    """Folder with trainset, devset and testset, as in the E2E challenge."""
    test_inputs: Path
    """One answer is written for each of its rows."""
    copies: int = Field(ge=0)
    """Versions of each training input with other values."""
    keep_errors: bool = False
    """Train on texts that the slot check finds wrong, too."""
    vocabulary: int = Field(ge=300)
    pretrain: list[str]
    """Settings over pretrain.yaml."""
    sft: list[str]
    """Settings over sft.yaml."""
    models: int = Field(default=1, ge=1, le=20)
    """Fine-tuned with seeds 1 to this; together they teach one of them."""
    invented: int = Field(default=600, ge=1)
    """Invented inputs on which that one is chosen."""
    beams: int = Field(ge=1)
    """Width of the beam that answers the test inputs."""
    teach: int = Field(ge=1)
    """Training inputs that the models' beams answer, to teach the greedy search."""
    teach_beams: int = Field(ge=1)
    """Width of those beams."""
    polish: list[str]
    """Settings over sft.yaml for learning from those answers."""
    golden_prompts: int = Field(default=32, ge=1)
    report: Path
    """Folder for the answers and their scores."""

    @property
    def run(self) -> Path:
        """The run folder."""
        return Path("runs") / self.name

    @property
    def bundle(self) -> Path:
        """The bundle."""
        return Path("bundles") / self.name / "1"


def run_best(config: BestConfig, console: Console) -> None:
    """Run what is not done yet. Raises StageError naming the stage that failed, BusyError."""
    for path in (config.source, config.test_inputs):
        if not path.exists():
            raise TriviumError(f"{path}: no such file or folder; give it by --set source=… or test_inputs=…")
    with only_one(config.run / "lock"):
        run_stages(stages(config), config.run / "state.json", console)
    console.print(f"answers to the test inputs: {config.report / 'testset-outputs.txt'}")


def stages(config: BestConfig) -> list[Stage]:
    """All stages in order."""
    return [*_data(config), *_training(config), *_teaching(config), *_answers(config), *_bundle(config)]


def _data(config: BestConfig) -> list[Stage]:
    plain, made, tokenizer = _folders(config)
    recipe = _CONFIGS / "data-e2e.yaml"
    # How often a text was written is what the most likely answer hangs on: repetitions stay.
    repeated = ["duplicates.exact=false", "duplicates.near=false"]
    settings = [f"name={plain.name}", f"source={config.source}", *repeated]
    keep = ["--keep-errors"] if config.keep_errors else []
    return [
        Stage(
            "data", "data", python_command("training data", config=recipe, set=settings),
            outputs=(plain / "card.json",), inputs=(recipe,), rooms=("training/data",),
        ),
        Stage(
            "tokenizer", "tokenizer",
            python_command("training tokenizer", data=plain, output=tokenizer, vocab_size=config.vocabulary),
            outputs=(tokenizer / "tokenizer.json",), inputs=(Path("training/tokenizer.py"),),
        ),
        Stage(
            "augment", "clean texts, swapped values",
            python_command("training headline augment", *keep, data=plain, output=made, copies=config.copies),
            outputs=(made / "card.json",), rooms=("training/headline", "evaluation/slots"),
        ),
    ]  # fmt: skip


def _training(config: BestConfig) -> list[Stage]:
    _, made, tokenizer = _folders(config)
    start = f"from={config.run / 'pretrain'}"
    return [
        _job(config, "pretrain", "pretrain", made, [f"tokenizer={tokenizer}", *config.pretrain]),
        *(_job(config, name, "sft", made, [start, f"seed={seed}", *config.sft])
          for seed, name in enumerate(_fine_tuned(config), 1)),
    ]  # fmt: skip


def _teaching(config: BestConfig) -> list[Stage]:
    """The best of the fine-tuned models, beam answers of all, and a short fine-tuning of that one on them."""
    _, made, _ = _folders(config)
    student = config.run / "student"
    models = [str(config.run / name / "model") for name in _fine_tuned(config)]
    rooms = ("training/headline", "evaluation/slots")
    taught = made.with_name(f"{config.name}-taught")
    command = python_command(
        "training headline teach", data=made, model=models, output=taught, count=config.teach,
        beams=config.teach_beams,
    )  # fmt: skip
    choice = python_command(
        "training headline select", data=made, model=models, output=student, inputs=config.invented
    )
    return [
        Stage("select", "the model to teach", choice, outputs=(student / "selection.json",), rooms=rooms),
        Stage("teach", "answers by beam search", command, outputs=(taught / "card.json",), rooms=rooms),
        _job(config, "polish", "sft", taught, [f"from={student}", *config.polish]),
    ]  # fmt: skip


def _job(config: BestConfig, name: str, job: str, data: Path, settings: list[str]) -> Stage:
    return Stage(
        name, _TITLES.get(name, name.replace("sft-", "fine-tuning, seed ")),
        python_command(f"training {job}", data=data, output=config.run / name, set=settings),
        outputs=(config.run / name / "model" / "model.safetensors",),
        inputs=(_CONFIGS / f"{job}.yaml",), rooms=("common", "training/data"), afresh=("--fresh",),
    )  # fmt: skip


def _answers(config: BestConfig) -> list[Stage]:
    """Beam answers to dev and test inputs, greedy answers to the dev inputs, scores of the dev answers."""
    plain, _, _ = _folders(config)
    model, dev = config.run / "polish" / "model", plain / "references-dev.jsonl"
    wanted = [
        ("testset-outputs", "test inputs, beam", config.test_inputs, config.beams),
        ("dev-beam", "dev inputs, beam", dev, config.beams),
        ("dev-greedy", "dev inputs, greedy", dev, 1),
    ]
    answered = [
        Stage(
            f"answer {name}", f"answers to the {title}",
            python_command(
                "training headline answer", model=model, inputs=inputs, beams=beams,
                output=config.report / f"{name}.txt",
            ),
            outputs=(config.report / f"{name}.txt",), rooms=("training/headline", "evaluation/slots"),
        )
        for name, title, inputs, beams in wanted
    ]  # fmt: skip
    scored = [
        Stage(
            f"score {name}", f"scores of {name}",
            python_command(
                "evaluation score", hypotheses=config.report / f"{name}.txt", references=dev,
                output=config.report / f"{name}.json",
            ),
            outputs=(config.report / f"{name}.json",), rooms=("evaluation",),
        )
        for name in ("dev-beam", "dev-greedy")
    ]  # fmt: skip
    return [*answered, *scored]


def _bundle(config: BestConfig) -> list[Stage]:
    plain, made, _ = _folders(config)
    bundle = config.bundle
    build = python_command(
        "bundle build", "--replace", model=config.run / "polish" / "model", name=bundle.parent.name,
        version=bundle.name, run=config.run / "polish", data_card=made / "card.json",
        evaluation=config.report / "dev-greedy.json",
        prompts=plain / "references-dev.jsonl", golden_count=config.golden_prompts,
    )  # fmt: skip
    return [
        Stage("bundle", "bundle", build, outputs=(bundle / "manifest.json",), rooms=("bundle",)),
        Stage("export", "ONNX for the edge",
              python_command("edge export", bundle=bundle, variant=["fp32", "int4"]),
              outputs=(bundle / "onnx" / "fp32", bundle / "onnx" / "int4"), rooms=("edge",)),
        Stage("sign", "signature", python_command("bundle sign", str(bundle)),
              outputs=(bundle / "signature.json",)),
        Stage("verify", "verification", python_command("bundle verify", str(bundle)), outputs=(bundle,),
              always=True),
    ]  # fmt: skip


def _fine_tuned(config: BestConfig) -> list[str]:
    """Names of the fine-tuned models, below the run folder."""
    return [f"sft-{seed}" for seed in range(1, config.models + 1)]


def _folders(config: BestConfig) -> tuple[Path, Path, Path]:
    """Prepared data, the training set made of it, tokenizer."""
    return Path("data") / config.name, Path("data") / f"{config.name}-made", config.run / "tokenizer"
