"""The row stages of the corpus room, the mix, and the whole job in this process."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from common.files import FileError
from training.corpus.config import CorpusConfig, CorpusError, FilterName, MixConfig, PiiConfig, SourceConfig
from training.corpus.mixing import mix, order
from training.corpus.prepare import prepare
from training.corpus.rows import Row
from training.corpus.stages.decontaminate import Decontaminate
from training.corpus.stages.extract import Extract
from training.corpus.stages.language import Language
from training.corpus.stages.markup import from_markdown, from_wikitext
from training.corpus.stages.pii import PiiFinder, mask
from training.corpus.stages.quality import FILTERS, Quality
from training.data.card import data_digest, load_card

pytestmark = pytest.mark.unit

PROSE = (
    "The ferry left the harbour before dawn, and with it went the letters that had waited for a week. "
    "Nobody on the quay would have guessed what was in them, or that the captain meant to keep one. "
    "He had read it twice by the lamp and folded it into the lining of his coat, where it stayed."
)


def config(**settings: object) -> CorpusConfig:
    source = {"name": "s", "reader": "books", "path": "x"}
    return CorpusConfig.from_dict({"name": "c", "sources": [source], "workers": 0, **settings}, "test")


def row(text: str, **values: str) -> Row:
    empty = dict.fromkeys(("url", "licence", "lang", "fell_at", "reason", "detail", "pii"), "")
    return {"origin": "s", "kind": "book", "markup": "text", "source": "x:1", "part": 0, "text": text,
            **empty, **values}  # fmt: skip


def reason(stage: Any, text: str, **values: str) -> str:
    (out,) = stage(row(text, **values))
    return str(out["reason"])


def test_every_filter_of_the_settings_exists() -> None:
    assert set(FILTERS) == set(get_args(FilterName))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROSE, ""),
        ("Too short.", "words"),
        ("a b c d e " * 30, "word-length"),
        (PROSE.replace(" the ", " ### the "), "symbols"),
        ("\n".join(f"- {line}" for line in PROSE.split(". ") * 2), "bullets"),
        (PROSE.replace(".", "...\n"), "ellipses"),
        (PROSE + " 12345" * 40, "letters"),
        ("Colourless green ideas sleep furiously " + " ".join(f"word{chr(97 + i)}" for i in range(26)) * 2,
         "stop-words"),
        (PROSE + " Lorem ipsum dolor.", "placeholder"),
        ("\n".join([PROSE] * 3), "repeated-lines"),
        (" ".join([PROSE] * 3), "repeated-ngrams"),
    ],
)  # fmt: skip
def test_quality_filters(text: str, expected: str) -> None:
    assert reason(Quality(config()), text) == expected


def test_extraction_cuts_at_paragraphs_and_leaves_no_control_token() -> None:
    text = "\n\n".join([PROSE + "</s><|user|>"] * 12)
    pieces = list(Extract(config(chunk_chars=700))(row(text)))
    assert [piece["part"] for piece in pieces] == list(range(len(pieces)))
    assert all(len(piece["text"]) <= 710 and "<|user|>" not in piece["text"] for piece in pieces)
    assert "".join(p["text"] for p in pieces).count("ferry") == 12


def test_markup_becomes_words() -> None:
    assert from_markdown("# A *b* [c](http://d) ![e](f) `g`").split() == ["A", "b", "c", "g"]
    page = "{{Box|x=1}}A '''heron''' is a [[bird|fowl]].<ref>no</ref>[[File:a.jpg|no]]"
    assert from_wikitext(page).split() == ["A", "heron", "is", "a", "fowl."]


def test_the_language_filter_keeps_english_and_leaves_code_alone() -> None:
    stage = Language(config())
    german = "Das Haus steht am Ende der Straße, und niemand weiß, wer darin wohnt. " * 3
    assert reason(stage, PROSE) == ""
    assert reason(stage, german) == "other language"
    assert reason(stage, german, kind="code") == ""


def test_personal_data_with_a_form_is_masked() -> None:
    text = (
        "Write to jo@example.org or call +1 (415) 555-2671; card 4111 1111 1111 1111, host 192.168.10.25, "
        "IBAN GB82 WEST 1234 5698 7654 32. In 1877 he paid 12,000 pounds."
    )
    assert mask(text, PiiFinder(PiiConfig()).find(text)) == (
        "Write to <EMAIL_ADDRESS> or call <PHONE_NUMBER>; card <CREDIT_CARD>, host <IP_ADDRESS>, "
        "IBAN <IBAN_CODE>. In 1877 he paid 12,000 pounds."
    )
    with pytest.raises(CorpusError, match="no pattern finds PERSON"):
        PiiFinder(PiiConfig(entities=["PERSON"]))


def test_rows_that_repeat_an_evaluation_set_fall(tmp_path: Path) -> None:
    (tmp_path / "eval.jsonl").write_text(json.dumps({"question": PROSE.upper()}) + "\n")
    stage = Decontaminate(config(decontaminate={"against": [str(tmp_path / "eval.jsonl")], "ngram": 8}))
    assert reason(stage, "Before it. " + PROSE) == "in an evaluation set"
    assert reason(stage, " ".join(reversed(PROSE.split()))) == ""


def test_the_mix_follows_the_weights_and_the_seed() -> None:
    sources = [SourceConfig(name=n, reader="books", path=Path(n), weight=w) for n, w in (("a", 3), ("b", 1))]
    origins = np.repeat([0, 1], [600, 100])
    keys, chars = np.arange(700), np.full(700, 10)
    chosen = mix(origins, keys, chars, sources, MixConfig(max_repeats=2), 1)
    written = np.bincount(origins, weights=chosen.repeats)
    assert written.tolist() == [600, 200]
    assert chosen.note == ""
    small = mix(origins, keys, chars, sources, MixConfig(max_repeats=1), 1)
    assert np.bincount(origins, weights=small.repeats).tolist() == [300, 100]
    assert "b would repeat more" in small.note
    rows, times = order(keys, chosen.repeats, 1)
    again, _ = order(keys, chosen.repeats, 1)
    assert rows.tolist() == again.tolist() != order(keys, chosen.repeats, 2)[0].tolist()
    assert sorted(times.tolist()) == [1] * 700 + [2] * 100


def write_books(folder: Path) -> Path:
    """Ten invented books of different sentences, one of them twice."""
    rng = random.Random(1)
    words = PROSE.replace(".", "").replace(",", "").split()
    for number in range(10):
        paragraphs = [
            " ".join(f"{' '.join(rng.sample(words, 12))} of the {rng.randrange(10**6)}." for _ in range(6))
            for _ in range(8)
        ]
        (folder / f"book-{number}.txt").write_text("\n\n".join(paragraphs))
    (folder / "copy.txt").write_text((folder / "book-3.txt").read_text())
    return folder


def job(tmp_path: Path, **settings: object) -> CorpusConfig:
    folder = tmp_path / "src"
    if not folder.exists():
        folder.mkdir()
        write_books(folder)
    source = {"name": "s", "reader": "books", "path": str(folder), "licence": "CC0", "lang": "en"}
    values = {"sources": [source], "output": str(tmp_path / "data"), "chunk_chars": 800,
              "splits": {"dev": 0.2, "test": 0}, "quality": {"filters": ["words"]}}  # fmt: skip
    return config(**{**values, **settings})


def test_the_whole_job_and_what_it_does_on_a_second_call(tmp_path: Path) -> None:
    prepared = prepare(job(tmp_path), progress=False)
    report, folder = prepared.report, prepared.path
    train = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    dev = [json.loads(line) for line in (folder / "dev.jsonl").read_text().splitlines()]
    assert set(train[0]) == {"id", "task", "split", "text", "source", "url", "licence", "lang", "kind"}
    assert load_card(folder).digest == data_digest(folder)
    for before, after in zip(report["stages"][1:], report["stages"][2:], strict=False):
        assert before["out"] == after["in"]
    assert report["stages"][-1]["out"] == len(train) + len(dev)
    assert report["stages"][-1]["reasons"]["exact duplicate"] > 0
    books = [{r["source"].rpartition(":")[0] for r in rows} for rows in (train, dev)]
    assert books[1]
    assert not books[0] & books[1]
    assert "<svg" in (folder / "report.html").read_text()
    assert prepare(job(tmp_path), progress=False).reused
    other = prepare(job(tmp_path, output=str(tmp_path / "other")), progress=False)
    assert other.card.digest == prepared.card.digest
    assert [p.name for p in (tmp_path / "data").iterdir() if p.name.endswith(".work")] == []


def test_an_interrupted_job_goes_on_and_the_old_result_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare(job(tmp_path), progress=False)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("training.corpus.write.write_splits", full_disk)
        with pytest.raises(FileError, match="No space left"):
            prepare(job(tmp_path), force=True, progress=False)
    assert load_card(whole.path).digest == data_digest(whole.path) == whole.card.digest
    with monkeypatch.context() as patch:
        patch.setattr("training.corpus.readers.files.open", full_disk, raising=False)
        # The rows are read and filtered already: the source is not opened again.
        (whole.path / "report.json").unlink()
        assert prepare(job(tmp_path), progress=False).card.digest == whole.card.digest


def test_a_job_that_leaves_nothing_says_why(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"all rows fell \(quality: words"):
        prepare(job(tmp_path, quality={"min_words": 10_000}), progress=False)
    assert (tmp_path / "data/c.quarantine.jsonl").read_text().count("\n") > 0
