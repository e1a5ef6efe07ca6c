"""mlbom.cdx.json: the CycloneDX 1.6 bill of materials of the model, made from the manifest.

cyclonedx-python-lib writes it. The library has no class for `modelCard` yet, so that part is added to its
output (https://cyclonedx.org/docs/1.6/json/#components_items_modelCard); tests check the whole document
against the schema.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6

from bundle.manifest import FileEntry, Manifest, canonical_json, digest_of

_LICENCES = LicenseFactory()


def ml_bom(manifest: Manifest) -> bytes:
    """The BOM as canonical JSON. Its serial number is derived from the content: same bundle, same bytes."""
    model = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=manifest.name,
        version=manifest.version,
        bom_ref=f"model:{manifest.name}@{manifest.version}",
        description=manifest.intended_use,
        licenses=[_LICENCES.make_from_string(manifest.licence)],
        properties=[
            Property(name="trivium:base_model", value=manifest.base_model),
            Property(name="trivium:job", value=manifest.job.name),
            Property(name="trivium:git_commit", value=manifest.job.git_commit or "not stated"),
            Property(
                name="trivium:seed",
                value="not stated" if manifest.job.seed is None else str(manifest.job.seed),
            ),
        ],
        components=[_file(entry) for entry in manifest.files],
    )
    data = Component(
        type=ComponentType.DATA,
        name=manifest.data.name,
        bom_ref=_data_ref(manifest),
        description=manifest.data.source,
        licenses=[_LICENCES.make_from_string(manifest.data.licence)],
        properties=[Property(name="trivium:digest", value=manifest.data.digest)],
    )
    bom = Bom(components=[data])
    bom.metadata.component = model
    bom.register_dependency(model, [data])
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document["metadata"]["component"]["modelCard"] = _model_card(manifest)
    document["metadata"].pop("timestamp", None)
    if manifest.created:
        document["metadata"]["timestamp"] = manifest.created
    document.pop("serialNumber", None)
    document["serialNumber"] = f"urn:uuid:{uuid5(NAMESPACE_URL, digest_of(canonical_json(document)))}"
    return canonical_json(document)


def _file(entry: FileEntry) -> Component:
    return Component(
        type=ComponentType.FILE,
        name=entry.path,
        bom_ref=f"file:{entry.path}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=entry.sha256)],
        properties=[Property(name="trivium:size_bytes", value=str(entry.size))],
    )


def _data_ref(manifest: Manifest) -> str:
    return f"data:{manifest.data.name}"


def _model_card(manifest: Manifest) -> dict[str, Any]:
    metrics = []
    for result in manifest.evaluation:
        metric: dict[str, Any] = {
            "type": result.metric,
            "value": repr(result.value),
            "slice": _slice(result.split, result.n),
        }
        if result.ci_low is not None and result.ci_high is not None:
            interval = {"lowerBound": repr(result.ci_low), "upperBound": repr(result.ci_high)}
            metric["confidenceInterval"] = interval
        metrics.append(metric)
    return {
        "modelParameters": {
            "task": "text-generation",
            "architectureFamily": "transformer",
            "datasets": [{"ref": _data_ref(manifest)}],
            "inputs": [{"format": "text"}],
            "outputs": [{"format": "text"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": {
            "useCases": [manifest.intended_use],
            "technicalLimitations": manifest.limits,
        },
    }


def _slice(split: str | None, n: int) -> str:
    return f"{split or 'all'}, n={n}"
