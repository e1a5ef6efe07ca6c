"""From a model name and a road to the model servers that can answer."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable

from services.gateway.backend import Backend
from services.gateway.errors import BadRequest, ModelNotFound, Unavailable


class Group:
    """The replicas of one model on one road."""

    def __init__(self, backends: list[Backend]) -> None:
        self.backends = backends

    def pick(self, tried: Collection[Backend] = ()) -> Backend:
        """An available replica, at random by weight; one not yet `tried` where there is one.

        Raises Unavailable, with the time after which asking again makes sense.
        """
        if len(self.backends) == 1 and self.backends[0].available:
            return self.backends[0]
        available = [backend for backend in self.backends if backend.available]
        if not available:
            waits = [
                max(b.config.ready_every_seconds, b.breaker.retry_after_seconds()) for b in self.backends
            ]
            config = self.backends[0].config
            raise Unavailable(
                f"no model server for {config.model!r} on road {config.road!r} is ready; try again later",
                retry_after_seconds=min(waits),
            )
        fresh = [backend for backend in available if backend not in tried] or available
        return random.choices(fresh, [backend.config.weight for backend in fresh])[0]


class RouteTable:
    """All routes, by model and road."""

    def __init__(self, backends: Iterable[Backend]) -> None:
        self.backends = list(backends)
        self._roads: dict[str, dict[str, Group]] = {}
        self._defaults: dict[str, str] = {}
        for backend in self.backends:
            model, road = backend.config.model, backend.config.road
            group = self._roads.setdefault(model, {}).setdefault(road, Group([]))
            group.backends.append(backend)
            if backend.config.default:
                self._defaults[model] = road
        for model, roads in self._roads.items():
            self._defaults.setdefault(model, next(iter(roads)))

    def resolve(self, model: str, road: str | None) -> Group:
        """The replicas for `model` (or `model@road`) and the `x-trivium-road` header.

        Raises ModelNotFound, or BadRequest where suffix and header name different roads.
        """
        roads = self._roads.get(model)
        if roads is None:
            name, at, suffix = model.rpartition("@")
            roads = self._roads.get(name) if at else None
            if roads is None:
                known = ", ".join(sorted(self._roads))
                raise ModelNotFound(
                    f"the model {model[:128]!r} does not exist; there is: {known}", param="model"
                )
            if road is not None and road != suffix:
                raise BadRequest("model suffix and x-trivium-road header name different roads", param="model")
            model, road = name, suffix
        group = roads.get(road or self._defaults[model])
        if group is None:
            known = ", ".join(sorted(roads))
            raise ModelNotFound(
                f"the model {model!r} has no road {str(road)[:64]!r}; it has: {known}", param="model"
            )
        return group

    def models(self) -> list[dict[str, object]]:
        """Each model with its roads: default or not, ready or not, and the bundle served."""
        return [
            {
                "id": model,
                "object": "model",
                "created": 0,
                "owned_by": "trivium",
                "roads": [
                    _road_card(road, group, road == self._defaults[model]) for road, group in roads.items()
                ],
            }
            for model, roads in self._roads.items()
        ]

    @property
    def ready(self) -> bool:
        """Whether at least one model server is known to be ready and is not failing."""
        return any(backend.ready and backend.available for backend in self.backends)


def _road_card(road: str, group: Group, default: bool) -> dict[str, object]:
    digests = sorted({backend.bundle_digest for backend in group.backends if backend.bundle_digest})
    return {
        "road": road,
        "default": default,
        "ready": any(backend.ready and backend.available for backend in group.backends),
        "bundle_digest": digests[0] if len(digests) == 1 else None,
        "replicas": len(group.backends),
    }
