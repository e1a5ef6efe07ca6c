"""The corpus job: read, filter, de-duplicate, mix, split, report. `prepare` is what other rooms call."""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from common.files import FileError, atomic_folder, atomic_path
from common.jobs import only_one
from training.corpus.card import fingerprint, is_current, make_card, write_card
from training.corpus.config import CorpusConfig, CorpusError
from training.corpus.engine import run_row_stages
from training.corpus.funnel import Funnel
from training.corpus.report.build import build_report, load_report, write_report
from training.corpus.shards import PartWriter, part_path, read_into
from training.corpus.stages.decontaminate import evaluation_ngrams
from training.data.card import Card, load_card
from training.data.memory import watch_memory

if TYPE_CHECKING:
    from training.corpus.deduplicate import Kept


@dataclass(frozen=True, slots=True)
class PreparedCorpus:
    """A prepared corpus: its folder, card, report, and whether this call had nothing to do."""

    path: Path
    card: Card
    report: dict[str, Any]
    reused: bool


def prepare(config: CorpusConfig, *, force: bool = False, progress: bool = True) -> PreparedCorpus:
    """Prepare `<output>/<name>/`; a second call with the same settings, sources and code reads the card.

    An interrupted job goes on at the shard where it was. Raises CorpusError where a source cannot be used
    or nothing is left; BusyError where another process prepares it;
    FileError where writing fails: the old result then stays as it was.
    """
    folder = config.output / config.name
    mark = fingerprint(config)
    if not force and is_current(folder, mark):
        return PreparedCorpus(folder, load_card(folder), load_report(folder), reused=True)
    work = config.output / f".{config.name}.{mark[:12]}.work"
    try:
        config.output.mkdir(parents=True, exist_ok=True)
        with only_one(config.output / f".{config.name}.lock"):
            for old in config.output.glob(f".{config.name}.{'?' * 12}.work"):
                if old != work or force:
                    shutil.rmtree(old, ignore_errors=True)
            card, report = _prepare(config, work, mark, progress)
            shutil.rmtree(work, ignore_errors=True)
    except OSError as exc:
        raise FileError(
            f"{folder}: could not be written: {exc.strerror or exc}; the old state is untouched, and the "
            "same command goes on where this one stopped"
        ) from exc
    return PreparedCorpus(folder, card, report, reused=False)


def _prepare(config: CorpusConfig, work: Path, mark: str, progress: bool) -> tuple[Card, dict[str, Any]]:
    started = time.monotonic()
    evaluation_ngrams(config.decontaminate.against, config.decontaminate.ngram)  # a wrong path fails at once
    with (
        watch_memory(every_seconds=0.5, tree=True) as memory,
        tqdm(desc="corpus", unit=" rows", disable=None if progress else True, leave=False) as bar,
    ):
        shards = _read(config, work, bar)
        parts = _filter(config, work, shards, bar)
        # Only now, as the workers are gone: these import 60 MB of `datasets` and datasketch.
        from training.corpus.deduplicate import keep_new
        from training.corpus.write import write_splits

        rejected = work / "quarantine.jsonl"
        with rejected.open("w", encoding="utf-8") as quarantine:
            funnel = Funnel(quarantine, config.quarantine_rows)
            kept = keep_new(parts, config, work / "kept.arrow", funnel)
        _require_rows(config, kept, rejected, funnel)
        with atomic_folder(config.output / config.name) as target:
            shutil.copyfile(rejected, target / "quarantine.jsonl")
            report = build_report(config, funnel, write_splits(target, kept, config))
            card = make_card(target, config, report, mark)
            memory.sample()
            report |= {
                "seconds": round(time.monotonic() - started, 1), "digest": card.digest,
                "peak_memory_bytes": memory.private_bytes,
            }  # fmt: skip
            write_card(target, card, report)
            write_report(target, report)
    return card, report


def _read(config: CorpusConfig, work: Path, bar: tqdm[Any]) -> list[Path]:
    """The raw shards of all sources; sources that were read before the interruption are not read again."""
    shards: list[Path] = []
    for source in config.sources:
        bar.set_description(f"read {source.name}")
        shards += read_into(work / "raw" / source.name, source, bar.update)
    return shards


def _filter(config: CorpusConfig, work: Path, shards: list[Path], bar: tqdm[Any]) -> list[Path]:
    """The shards after the row stages; those that are there already stay."""
    bar.set_description("filter")
    bar.reset()
    folder = work / "filtered"
    parts = {shard: part_path(folder, shard.stem) for shard in shards}
    waiting = [shard for shard, part in parts.items() if not part.is_file()]
    if waiting:
        # Closing the generator ends Ray also where writing fails.
        with PartWriter(folder) as writer, closing(run_row_stages(waiting, config)) as tables:
            for table in tables:
                writer.write(table)
                bar.update(table.num_rows)
    bar.set_description("duplicates, splits, report")
    return list(parts.values())


def _require_rows(config: CorpusConfig, kept: Kept, rejected: Path, funnel: Funnel) -> None:
    """Raise CorpusError where every row fell, and leave the quarantine file beside the output."""
    if len(kept.keys):
        return
    path = config.output / f"{config.name}.quarantine.jsonl"
    with atomic_path(path) as temporary:
        temporary.write_bytes(rejected.read_bytes())
    reasons = [
        f"{stage['stage']}: {reason} {count:,}"
        for stage in funnel.stages()
        for reason, count in stage["reasons"].items()
    ]
    raise CorpusError(
        f"{config.name}: all rows fell ({', '.join(reasons)}); see {path}, loosen the filters or mend the "
        "sources"
    )
