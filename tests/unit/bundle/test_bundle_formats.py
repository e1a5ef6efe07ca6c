"""Pickles are found by content under any name; honest files of every kind pass."""

from __future__ import annotations

import bz2
import collections
import gzip
import io
import lzma
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from bundle.errors import PickleInDisguise, WrongFormat
from bundle.formats import check_format, pickle_reason

pytestmark = pytest.mark.unit


class Payload:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def zip_bytes() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    return stream.getvalue()


def npy_bytes(array: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(array), allow_pickle=True)
    return stream.getvalue()


WEIGHTS = collections.OrderedDict(weight=[0.5] * 100, bias=[1.0])
PICKLES = {
    **{f"payload protocol {p}": pickle.dumps(Payload(), protocol=p) for p in range(6)},
    **{f"weights protocol {p}": pickle.dumps(WEIGHTS, protocol=p) for p in range(6)},
    "plain values": pickle.dumps([1.0, 2.0]),
    **{f"payload {p} without STOP": pickle.dumps(Payload(), protocol=p)[:-1] for p in range(6)},
    "payload by INST": b"(S'true'\nios\nsystem\n",
    "payload by OBJ": b"(cos\nsystem\nVtrue\no",
    "payload then junk": pickle.dumps(Payload(), protocol=2) + os.urandom(1000),
    "old torch.save": pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + pickle.dumps({}, protocol=2),
    "long blob first": pickle.dumps([b"x" * 5_000_000, Payload()], protocol=4),
    "torch.save": zip_bytes(),
    "gzip": gzip.compress(pickle.dumps(WEIGHTS)),
    "bzip2": bz2.compress(pickle.dumps(WEIGHTS)),
    "xz": lzma.compress(pickle.dumps(WEIGHTS)),
    "npy of objects": npy_bytes(np.array([{}, []], dtype=object)),
    "npy of records": npy_bytes(np.array([(1, {})], dtype=[("a", int), ("b", object)])),
}
HONEST = {
    "empty": b"",
    "json": b'{"version": "1.0"}',
    "vocabulary": b"class\nfoo\nbar\nReduce\n",
    "merges": "#version: 0.2\nĠ t\nĠ a\n".encode(),
    "licence": b"Copyright 2026\n\nPermission is granted",
    "csv": b"I1\n.\nS'a'\n.",
    "npy of floats": npy_bytes(np.zeros(4)),
    "safetensors": save({"w": np.zeros(4, dtype=np.float32)}),
    "onnx": b"\x08\x0a\x12\x04test",
}


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx", ".json", ".data", ""])
@pytest.mark.parametrize("kind", PICKLES)
def test_pickle_is_found_under_any_name(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(PICKLES[kind])
    with pytest.raises(PickleInDisguise, match=r"model.*: pickle in disguise"):
        check_format(path, path.name)


@pytest.mark.parametrize("kind", HONEST)
def test_honest_content_passes(kind: str) -> None:
    assert pickle_reason(HONEST[kind]) is None


def test_raw_weights_are_not_taken_for_pickles() -> None:
    """The external data of an ONNX model is raw numbers that can start with any byte."""
    random = np.random.default_rng(0)
    for first in range(256):
        for _ in range(20):
            assert pickle_reason(bytes([first]) + random.bytes(400)) is None
    for values in (random.standard_normal(20_000), random.standard_normal(20_000).astype(np.float32)):
        for start in range(0, 4000, 4):
            assert pickle_reason(values.tobytes()[start : start + 400]) is None


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".pkl", ".ckpt", ".npz"])
def test_names_that_loaders_unpickle_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"\x00" * 64)
    with pytest.raises(PickleInDisguise, match=f"loaders unpickle {suffix} files"):
        check_format(path, path.name)


BROKEN = {
    "short": (b"\x01", "too short"),
    "length": (b"\xff" * 7 + b"\x00" + b"{}", "header length is beyond the file"),
    "no JSON": (b"\x02\x00\x00\x00\x00\x00\x00\x00{x", "not the format's JSON"),
    "list": (b"\x02\x00\x00\x00\x00\x00\x00\x00[]", "not the format's JSON"),
    "deep": ((100_000).to_bytes(8, "little") + b"[" * 100_000, "not the format's JSON"),
    "cut off": (HONEST["safetensors"][:-1], "broken safetensors"),
    "extra": (HONEST["safetensors"] + b"\x00", "broken safetensors"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_safetensors_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(BROKEN[kind][0])
    with pytest.raises(WrongFormat, match=BROKEN[kind][1]):
        check_format(path, path.name)


def test_safetensors_and_onnx_pass_as_files(tmp_path: Path) -> None:
    for name in ("safetensors", "onnx"):
        path = tmp_path / f"model.{name}"
        path.write_bytes(HONEST[name])
        check_format(path, path.name)
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(WrongFormat, match="not an ONNX model"):
        check_format(tmp_path / "model.onnx", "model.onnx")
