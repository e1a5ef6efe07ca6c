"""The whole data job: files of the contract, counts that add up, the same digest twice, bad sources."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.files import FileError
from training.data import DataConfig, DataError, PreparedData, prepare
from training.data.attributes import canonical_input
from training.data.rows import load_split, read_rows

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
FILES = {
    "train.jsonl", "dev.jsonl", "test.jsonl", "references-dev.jsonl", "references-test.jsonl", "stats.json",
    "DATA_CARD.md", "card.json", "quarantine.jsonl",
}  # fmt: skip


def run(tmp_path: Path, force: bool = False, **settings: object) -> PreparedData:
    values = {"name": "t", "output": tmp_path / "data", "generator": {"pairs": 600}, **settings}
    return prepare(DataConfig.from_dict(values, "test"), force=force, progress=False)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_e2e(folder: Path) -> Path:
    """A small folder in the form of E2E: train, dev, and test without references; one leak, one duplicate."""
    folder.mkdir()
    train = [
        f'"name[N{i}], food[Thai]",N{i} serves Thai food number {k}{k}.' for i in range(20) for k in range(3)
    ]
    leak = '"food[Thai], name[D1]",D1 leaks from dev in another order.'
    (folder / "trainset.csv").write_text("mr,ref\n" + "\n".join([*train, train[0], leak]) + "\n")
    dev = [f'"name[D{i}], food[Thai]",The same dev text.' for i in (1, 1, 2)]
    (folder / "devset.csv").write_text("mr,ref\n" + "\n".join(dev) + "\n")
    (folder / "testset.csv").write_text('MR\n"name[T1], food[Thai]"\n')
    (folder / "SOURCE.txt").write_text("Set: a test\nlicence: CC0-1.0\n")
    (folder / "README.md").write_text("not data")
    return folder


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return run(tmp_path_factory.mktemp("generated"))


def test_the_files_of_the_contract_are_there(generated: PreparedData) -> None:
    assert {file.name for file in generated.path.iterdir()} == FILES
    row = lines(generated.path / "train.jsonl")[0]
    assert set(row) == {"id", "task", "split", "messages", "source"}
    assert [m["role"] for m in row["messages"]] == ["user", "assistant"]
    reference = lines(generated.path / "references-dev.jsonl")[0]
    assert set(reference) == {"id", "input", "references"}
    assert set(json.loads((generated.path / "card.json").read_text())) >= {
        "name", "source", "licence", "digest", "rows", "seed",
    }  # fmt: skip


def test_ids_are_unique_and_name_their_input(generated: PreparedData) -> None:
    ids = [
        row["id"] for split in ("train", "dev", "test") for row in lines(generated.path / f"{split}.jsonl")
    ]
    assert len(set(ids)) == len(ids)
    by_id = {row["id"]: row for row in lines(generated.path / "dev.jsonl")}
    for reference in lines(generated.path / "references-dev.jsonl"):
        rows = [row for key, row in by_id.items() if key.startswith(reference["id"])]
        assert [row["messages"][1]["content"] for row in rows] == reference["references"]
        assert {row["messages"][0]["content"] for row in rows} == {reference["input"]}


def test_no_two_splits_share_a_venue(generated: PreparedData) -> None:
    inputs = [
        {
            canonical_input(row["messages"][0]["content"])
            for row in lines(generated.path / f"{split}.jsonl")
            if row["task"] == "data-to-text"
        }
        for split in ("train", "dev", "test")
    ]
    assert not inputs[0] & inputs[1]
    assert not inputs[0] & inputs[2]
    assert not inputs[1] & inputs[2]


def test_the_digest_is_over_the_splits_and_the_same_twice(generated: PreparedData, tmp_path: Path) -> None:
    hashes = [
        hashlib.sha256((generated.path / f"{split}.jsonl").read_bytes()).hexdigest()
        for split in ("train", "dev", "test")
    ]
    assert generated.card.digest == "sha256:" + hashlib.sha256("".join(hashes).encode()).hexdigest()
    assert run(tmp_path).card.digest == generated.card.digest
    assert run(tmp_path, seed=2).card.digest != generated.card.digest


def test_a_second_run_has_nothing_to_do_until_something_changes(tmp_path: Path) -> None:
    folder = write_e2e(tmp_path / "src")
    assert not run(tmp_path, source=str(folder)).reused
    assert run(tmp_path, source=str(folder)).reused
    assert not run(tmp_path, source=str(folder), force=True).reused
    with (folder / "devset.csv").open("a") as stream:
        stream.write("name[D9],More.\n")
    assert not run(tmp_path, source=str(folder)).reused
    (tmp_path / "data/t/dev.jsonl").write_text("")
    assert not run(tmp_path, source=str(folder)).reused
    assert not run(tmp_path, source=str(folder), seed=9).reused


def test_official_splits_are_kept_and_guarded(tmp_path: Path) -> None:
    prepared = run(tmp_path, source=str(write_e2e(tmp_path / "src")))
    stages = prepared.stats["stages"]
    assert (stages["rows_read"], stages["leaked"], stages["exact_duplicates"]) == (66, 1, 1)
    assert prepared.card.rows == {"train": 60, "dev": 3, "test": 1}
    assert prepared.card.licence == "CC0-1.0"
    dev = lines(prepared.path / "references-dev.jsonl")
    assert [reference["references"] for reference in dev] == [
        ["The same dev text."] * 2,
        ["The same dev text."],
    ]
    assert lines(prepared.path / "references-test.jsonl")[0]["references"] == []
    assert [m["role"] for m in lines(prepared.path / "test.jsonl")[0]["messages"]] == ["user"]


def test_counts_add_up_and_bad_rows_are_listed(tmp_path: Path) -> None:
    good = "".join(f"name[N{i}],Text {i}.\n" for i in range(100))
    bad = "name[A,x\nname[A],\nname[A],a,b\n"
    (tmp_path / "d.csv").write_text("mr,ref\n" + good + bad)
    prepared = run(tmp_path, source=str(tmp_path / "d.csv"), max_bad_share=0.05)
    stages = prepared.stats["stages"]
    quarantine = lines(prepared.path / "quarantine.jsonl")
    assert len(quarantine) == sum(stages["quarantined"].values()) == 3
    assert [row["line"] for row in quarantine] == [102, 103, 104]
    assert stages["rows_read"] == stages["rows_good"] + 3
    dropped = stages["leaked"] + stages["exact_duplicates"] + stages["near_duplicates"]
    assert stages["rows_good"] == stages["rows_kept"] + dropped
    assert stages["rows_kept"] == sum(prepared.card.rows.values())


def test_too_many_bad_rows_stop_the_job_and_leave_the_old_data(tmp_path: Path) -> None:
    before = run(tmp_path).card
    (tmp_path / "d.csv").write_text("mr,ref\n" + "name[A],fine\n" * 9 + "name[A,x\n")
    with pytest.raises(DataError, match=r"1 of 10 rows are bad .*broken attribute syntax 1"):
        run(tmp_path, source=str(tmp_path / "d.csv"))
    (row,) = lines(tmp_path / "data/t.quarantine.jsonl")
    assert row["line"] == 11
    assert json.loads((tmp_path / "data/t/card.json").read_text())["digest"] == before.digest
    assert not [f for f in (tmp_path / "data").iterdir() if f.name.startswith(".")]


def test_text_chat_and_hub_sources(tmp_path: Path) -> None:
    paragraphs = [
        f"Paragraph {i} tells of the {i * 7}th journey and its {i * 13} miles." * 3 for i in range(60)
    ]
    (tmp_path / "book.txt").write_text("\n\n".join(paragraphs))
    text = run(tmp_path, source=str(tmp_path / "book.txt"), text_chunk_chars=200)
    assert set(lines(text.path / "train.jsonl")[0]) == {"id", "task", "split", "text", "source"}
    assert text.card.rows["dev"] > 0

    rows = [{"prompt": f"What is {i} + 1?", "completion": str(i + 1)} for i in range(40)]
    (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)))
    chat = run(tmp_path, source=str(tmp_path / "chat.jsonl"))
    assert sum(chat.card.rows.values()) == 40
    assert chat.card.licence == "unknown: set `licence`"

    hub = hub_folder(tmp_path / "hub", rows)
    loaded = run(tmp_path, source=f"hf:{hub}", licence="MIT")
    assert loaded.card.rows["test"] == 10
    assert loaded.card.licence == "MIT"


def hub_folder(folder: Path, rows: list[dict[str, str]]) -> Path:
    """A data set repository as the hub has it: one Parquet file for each split."""
    from datasets import Dataset

    (folder / "data").mkdir(parents=True)
    Dataset.from_list(rows[:30]).to_parquet(folder / "data/train-00000-of-00001.parquet")
    Dataset.from_list(rows[30:]).to_parquet(folder / "data/test-00000-of-00001.parquet")
    return folder


def test_columns_of_a_hub_set_can_be_named(tmp_path: Path) -> None:
    rows = [{"question": f"What is {i} + 1?", "reply": str(i + 1)} for i in range(40)]
    hub = hub_folder(tmp_path / "hub", rows)
    columns = {"input_column": "question", "target_column": "reply"}
    assert sum(run(tmp_path, source=f"hf:{hub}", hub=columns).card.rows.values()) == 40
    with pytest.raises(DataError, match="40 of 40 rows are bad"):
        run(tmp_path, source=f"hf:{hub}", hub={**columns, "target_column": "answer"})


def test_prepared_data_can_be_read_and_prepared_again(generated: PreparedData, tmp_path: Path) -> None:
    train = load_split(generated.path, "train")
    assert len(train) == generated.card.rows["train"]
    again = run(tmp_path, source=str(generated.path / "train.jsonl"))
    assert sum(again.card.rows.values()) == len(train)
    with pytest.raises(DataError, match="no split 'tets'"):
        load_split(generated.path, "tets")
    with pytest.raises(DataError, match="is not there"):
        read_rows(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no/such/file.csv", "no such file or folder"),
        ("hf:", "name a data set"),
        ("model.bin", "unknown format"),
        ("empty.csv", "must name a column `mr`"),
        ("folder", "no data file in it"),
        ("only-header.csv", "the source is empty"),
        ("only-test", "no row is left to train on"),
    ],
)
def test_an_unusable_source_is_one_clear_error(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "model.bin").write_bytes(b"\0")
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "only-header.csv").write_text("mr,ref\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "only-test").mkdir()
    (tmp_path / "only-test/test.csv").write_text("mr,ref\nname[A],a\n")
    full = source if source.startswith(("hf:", "no/")) else str(tmp_path / source)
    with pytest.raises(DataError, match=re.escape(message)):
        run(tmp_path, source=full)


def test_an_output_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(FileError, match="could not be written"):
        run(tmp_path)


def command(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "training.data", *arguments],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_command_line(tmp_path: Path) -> None:
    config = str(ROOT / "training/configs/data-demo.yaml")
    small = ["--set", f"output={tmp_path}", "--set", "generator.pairs=300"]
    done = command("--config", config, *small)
    assert done.returncode == 0, done.stderr
    assert "sha256:" in done.stdout
    assert "is up to date" in command("--config", config, *small).stdout
    offline = ["--set", "source=hf:no/such-set", "--set", f"output={tmp_path}"]
    for arguments, message in (
        (["--config", config, "--set", "generator.pears=1"], "did you mean 'pairs'?"),
        (["--config", "none.yaml"], "no such file"),
        (["--config", config, *offline], "check the id and the network"),
    ):
        failed = command(*arguments, HF_HUB_OFFLINE="1")
        assert failed.returncode == 2
        assert message in failed.stderr
        assert len(failed.stderr.strip().splitlines()) == 1


def test_memory_grows_far_slower_than_the_data(tmp_path: Path) -> None:
    config = str(ROOT / "training/configs/data-demo.yaml")
    peaks, sizes = [], []
    for rows in (10_000, 100_000):
        source = tmp_path / f"{rows}.jsonl"
        with source.open("w") as stream:
            for i in range(rows):
                row = {"prompt": f"question {i} {'p' * 60}", "completion": "a rather long answer " * 40}
                stream.write(json.dumps(row) + "\n")
        settings = (f"source={source}", f"output={tmp_path}", f"name=m{rows}")
        done = command("--config", config, *(word for s in settings for word in ("--set", s)))
        assert done.returncode == 0, done.stderr
        stats = json.loads((tmp_path / f"m{rows}/stats.json").read_text())
        peaks.append(stats["peak_private_memory_bytes"])
        sizes.append(source.stat().st_size)
    assert peaks[1] - peaks[0] < 0.25 * (sizes[1] - sizes[0]), (peaks, sizes)
