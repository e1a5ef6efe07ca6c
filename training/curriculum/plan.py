"""The stages of the suite, each a command that a person can type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.stages import OptionValue, Stage, python_command
from training.curriculum.catalogue import CATALOGUE, PAIRS, REWARD, Recipe
from training.curriculum.suite import DataJob, SuiteConfig
from training.outcome import NAME as OUTCOME
from training.serving.report import NAME as SERVING

_CONFIGS = Path(__file__).parents[1] / "configs"


def stages(config: SuiteConfig) -> list[Stage]:
    """All stages in order; the page comes last and is written every time."""
    plan = _Plan(config)
    made = [*plan.data(), *plan.trained("base", CATALOGUE["base"], config.base.set, 1)]
    for seed in config.seeds_of("full"):
        made += plan.trained("full", CATALOGUE["full"], config.full.set, seed)
    needed = {CATALOGUE[entry.technique].needs for entry in config.techniques}
    if needed & {"pairs", "reward"}:
        made.append(plan.pairs())
    if "reward" in needed:
        made += plan.trained("reward", REWARD, config.reward.set, 1)
    for entry in config.techniques:
        for seed in config.seeds_of(entry.technique):
            made += plan.trained(entry.technique, CATALOGUE[entry.technique], entry.set, seed)
    page = python_command("training compare", runs=config.runs, output=config.report)
    made.append(plan.serving())
    return [*made, Stage("compare", "comparison", page, (config.report / "index.html",), always=True)]


@dataclass(frozen=True, slots=True)
class _Plan:
    config: SuiteConfig

    def data(self) -> list[Stage]:
        """Data sets and tokenizer. The tokenizer belongs to the base model: it is made of what that learns
        from."""
        base, tokenizer = self._base_data(), self.config.runs / "tokenizer"
        made = [self._data_set("data", self.config.data)]
        if base is not self.config.data:
            made.append(self._data_set("base data", base))
        command = python_command(
            "training tokenizer", data=base.folder, output=tokenizer, vocab_size=self.config.vocabulary
        )
        outputs = (tokenizer / "tokenizer.json",)
        return [*made, Stage("tokenizer", "tokenizer", command, outputs, after=(made[-1].name,))]

    def _base_data(self) -> DataJob:
        return self.config.base_data or self.config.data

    @staticmethod
    def _data_set(name: str, job: DataJob) -> Stage:
        return Stage(
            name, name, python_command("training data", config=job.config, set=job.set),
            outputs=(job.folder / "card.json",), inputs=(job.config,), rooms=("training/data",), after=(),
        )  # fmt: skip

    def pairs(self) -> Stage:
        """Preference pairs, made once for all that learn from them."""
        output = self.config.runs / "pairs"
        recipe = _CONFIGS / f"{PAIRS.config}.yaml"
        command = python_command(
            PAIRS.command, config=recipe, data=self.config.data.folder, output=output,
            set=self.config.pairs.set, **{"from": self.folder("full", 1)},
        )  # fmt: skip
        after = ("data", "full 1")
        return Stage("pairs", "preference pairs", command, (output / "report.json",), (recipe,), after=after)

    def trained(self, key: str, recipe: Recipe, settings: list[str], seed: int) -> list[Stage]:
        """One technique with one seed: its training, and its outcome where the job does not write it."""
        run, file = self.folder(key, seed), _CONFIGS / f"{recipe.config}.yaml"
        data = self._base_data() if recipe.origin == "tokenizer" else self.config.data
        options: dict[str, OptionValue] = {"config": file, "data": data.folder, "output": run}
        options |= dict(recipe.options)
        origin, after = self._origin(recipe, seed)
        chosen = [f"seed={seed}", *recipe.settings, *self.config.every, *settings]
        if recipe.origin == "tokenizer":
            chosen.append(f"tokenizer={origin}")
        else:
            options[recipe.option] = origin
        if recipe.needs == "pairs":
            options["pairs"], after = self.config.runs / "pairs", (*after, "pairs")
        elif recipe.needs == "reward":
            options["reward_model"], after = self.folder("reward", 1), (*after, "reward 1")
        result = run / ("result.json" if recipe.row or key == "reward" else OUTCOME)
        title = f"{key}, seed {seed}"
        stage = Stage(
            f"{key} {seed}", title, python_command(recipe.command, **options, set=chosen), (result,), (file,),
            afresh=("--fresh",), after=after,
        )  # fmt: skip
        return [stage, *self._outcome(key, recipe, run, seed)]

    def serving(self) -> Stage:
        """How fast every result is served, all in one run. Started every time: the command itself knows by
        the outcomes whether one was written anew, also outside of the suite."""
        command = python_command("training serving", runs=self.config.runs, set=self.config.serving.set)
        return Stage("serving", "serving rates", command, (self.config.runs / SERVING,), always=True)

    def folder(self, key: str, seed: int) -> Path:
        """The run folder of a technique with a seed."""
        return self.config.runs / key / f"seed-{seed}"

    def _origin(self, recipe: Recipe, seed: int) -> tuple[Path, tuple[str, ...]]:
        """What the recipe starts from, and the stage that makes it. Full fine-tuning of the same seed where
        there is one."""
        if recipe.origin == "tokenizer":
            return self.config.runs / "tokenizer", ("tokenizer",)  # which comes after the base's data
        known = seed if recipe.origin == "full" and seed in self.config.seeds_of("full") else 1
        return self.folder(recipe.origin, known), ("data", f"{recipe.origin} {known}")

    def _outcome(self, key: str, recipe: Recipe, run: Path, seed: int) -> list[Stage]:
        if recipe.row is None:
            return []
        label, family = recipe.row
        command = python_command(
            "training outcome", run=run, technique=key, label=label, family=family,
            data=self.config.data.folder,
        )  # fmt: skip
        name = f"outcome of {key} {seed}"
        return [Stage(name, name, command, (run / OUTCOME,), after=("data", f"{key} {seed}"))]
