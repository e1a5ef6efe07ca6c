"""The manifest: one spelling for one content, and hostile ones give errors, not trouble."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle import BundleError, Manifest, errors
from bundle.manifest import (
    MAX_MANIFEST_BYTES,
    SCHEMA_VERSION,
    Data,
    FileEntry,
    GoldenPrompt,
    Job,
    Message,
    canonical_json,
    parse_manifest,
    read_manifest,
    safe_path,
)  # fmt: skip

pytestmark = pytest.mark.unit

MANIFEST = Manifest(
    name="plain", version="1", base_model="none", licence="MIT", intended_use="tests", job=Job(name="sft"),
    data=Data(name="venues", digest="sha256:0", licence="CC0-1.0", source="generator", rows={"train": 3}),
    golden=[
        GoldenPrompt(
            messages=[Message(role="user", content="é東")], prompt_token_ids=[1, 4], expected_token_ids=[9],
            top_logit_gaps=[0.1],
        )
    ],
    files=[FileEntry(path="model/a", size=0, sha256="0" * 64)],
)  # fmt: skip


def with_values(**values: object) -> bytes:
    return canonical_json({**json.loads(MANIFEST.to_bytes()), **values})


def test_bytes_give_the_same_manifest_and_the_same_bytes() -> None:
    data = MANIFEST.to_bytes()
    assert parse_manifest(data, "m") == MANIFEST
    assert parse_manifest(data, "m").to_bytes() == data
    assert "é東".encode() in data


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "../a",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        "./a",
        "a\\b",
        "C:/a",
        "a\nb",
        "a\0b",
        "..",
        "x" * 5000,
    ],
)
def test_paths_that_leave_the_folder_are_refused(path: str) -> None:
    entry = {"path": path, "size": 1, "sha256": "0" * 64}
    with pytest.raises(errors.UnsafePath):
        parse_manifest(with_values(files=[entry]), "m")


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_an_accepted_path_stays_inside(path: str) -> None:
    try:
        safe_path(path)
    except errors.UnsafePath:
        return
    root = Path("/bundle")
    assert root in (root / path).parents
    assert (root / path).relative_to(root).as_posix() == path


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", errors.ManifestNotJson),
        (b"\xff\xfe", errors.ManifestNotJson),
        (b"[" * 1_000_000, errors.ManifestNotJson),
        (b'{"a":' * 1_000_000, errors.ManifestNotJson),
        (b"[1]", errors.ManifestNotJson),
        (b"NaN", errors.ManifestNotJson),
        (b"{}", errors.UnknownSchema),
        (b'{"schema_version": null}', errors.UnknownSchema),
        (b'{"schema_version": ["trivium.bundle/v1"]}', errors.UnknownSchema),
        (b'{"schema_version": "trivium.bundle/v1"}', errors.ManifestInvalid),
        (with_values(extra=1), errors.ManifestInvalid),
        (with_values(name="../evil"), errors.ManifestInvalid),
        (with_values(version="a/b"), errors.ManifestInvalid),
        (with_values(files={}), errors.ManifestInvalid),
        (with_values(files=[{"path": "a", "size": "1", "sha256": "0" * 64}]), errors.ManifestInvalid),
        (with_values(files=[{"path": "a", "size": -1, "sha256": "0" * 64}]), errors.ManifestInvalid),
        (with_values(files=[{"path": "a", "size": 1, "sha256": "0" * 63}]), errors.ManifestInvalid),
        (with_values(files=[{"path": "a", "size": 1, "sha256": "0" * 64}] * 2), errors.ManifestInvalid),
        (
            with_values(files=[{"path": "manifest.json", "size": 1, "sha256": "0" * 64}]),
            errors.ManifestInvalid,
        ),
    ],
    ids=range(19),
)
def test_hostile_manifests_are_one_line_errors(data: bytes, kind: type[BundleError]) -> None:
    with pytest.raises(kind) as caught:
        parse_manifest(data, "m")
    assert type(caught.value) is kind
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_unknown_version_says_both_versions() -> None:
    with pytest.raises(errors.UnknownSchema, match=rf"'trivium.bundle/v2'.*{SCHEMA_VERSION}"):
        parse_manifest(b'{"schema_version": "trivium.bundle/v2", "new": {}}', "m")


def test_huge_manifest_is_not_read_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "manifest.json").open("wb") as stream:
        stream.truncate(MAX_MANIFEST_BYTES * 1000)
    began = time.monotonic()
    with pytest.raises(errors.ManifestInvalid, match="larger than 32 MiB"):
        read_manifest(tmp_path)
    assert time.monotonic() - began < 5
