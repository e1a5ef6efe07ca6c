"""The settings: a wrong one stops the start by name, and each is used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from common.errors import ConfigError
from services.gateway import config as settings
from services.gateway.config import GatewayConfig

pytestmark = pytest.mark.unit

ROOM = Path(settings.__file__).parent
ROUTE = {"model": "m", "road": "edge", "url": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "routes"),
        ({"routes": []}, "routes"),
        ({"routes": [ROUTE], "tennant": "x"}, "did you mean 'tenant'?"),
        ({"routes": [{**ROUTE, "timeout": {}}]}, "did you mean 'timeouts'?"),
        ({"routes": [{**ROUTE, "timeouts": {"conect_seconds": 1}}]}, "did you mean 'connect_seconds'?"),
        ({"routes": [{**ROUTE, "url": "ftp://x"}]}, "url"),
        ({"routes": [{**ROUTE, "url": "x"}]}, "url"),
        ({"routes": [{**ROUTE, "road": "Edge Road"}]}, "road"),
        ({"routes": [{**ROUTE, "model": "a@b"}]}, "model"),
        ({"routes": [{**ROUTE, "weight": 0}]}, "weight"),
        ({"routes": [{**ROUTE, "bundle_digest": "abc"}]}, "bundle_digest"),
        ({"routes": [{**ROUTE, "timeouts": {"total_seconds": 0}}]}, "total_seconds"),
        ({"routes": [{**ROUTE, "default": True}, {**ROUTE, "road": "b", "default": True}]}, "default road"),
        ({"routes": [ROUTE], "limits": {"max_body_bytes": "many"}}, "max_body_bytes"),
        ({"routes": [ROUTE], "log_format": "xml"}, "log_format"),
    ],
)
def test_wrong_setting_is_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)):
        GatewayConfig.from_dict(values, "gateway.yaml")


def test_shipped_configuration_is_valid() -> None:
    shipped = GatewayConfig.from_yaml(ROOM / "configs" / "gateway.yaml")
    assert [route.road for route in shipped.routes] == ["onprem", "cloud", "edge"]


def test_every_setting_is_read_somewhere() -> None:
    source = "".join(path.read_text() for path in ROOM.glob("*.py") if path.name != "config.py")
    models = [m for m in vars(settings).values() if isinstance(m, type) and issubclass(m, BaseModel)]
    fields = {field for model in models for field in model.model_fields}
    assert [field for field in sorted(fields) if not re.search(rf"\.{field}\b", source)] == []


def test_core_knows_no_web_framework() -> None:
    skin = {"app.py", "server.py", "__main__.py"}
    for path in ROOM.glob("*.py"):
        if path.name not in skin:
            assert not re.search(r"^(from|import) (uvicorn|starlette|fastapi)", path.read_text(), re.M), (
                path.name
            )
