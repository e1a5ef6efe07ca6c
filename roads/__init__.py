"""One way to start, reach and stop a road: on-prem, cloud, edge; and the simulated network before one.

with open_road(RoadSpec(road="edge", format="int4"), bundle_dir, log_dir=logs) as road:
    print(road.base_url)
"""

from roads.base import Road
from roads.config import NetworkProfile, RoadConfig, RoadsConfig
from roads.errors import RoadError
from roads.opening import RoadSpec, make_road, open_road

__all__ = [
    "NetworkProfile",
    "Road",
    "RoadConfig",
    "RoadError",
    "RoadSpec",
    "RoadsConfig",
    "make_road",
    "open_road",
]
