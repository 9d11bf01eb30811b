"""Every network that a capture may run, for whoever builds, lists or measures engines."""

from __future__ import annotations

from collections.abc import Sequence

import engines
from mocap.config import FileConfig, RegressorName
from mocap.models import blazepose, token_capture, token_lookahead


def product(max_people: int = 1) -> Sequence[engines.Network]:
    """What `live` and `file` run: the detector, the landmark network and the learned capture, frame by frame; then its
    parts for captures that look ahead.
    """
    return (*live(max_people), *token_lookahead.networks(FileConfig().lookahead, max_people))


def of_regressor(regressor: RegressorName, max_people: int = 1) -> Sequence[engines.Network]:
    """What captures run with a regressor.

    Raises:
        MocapError: it is a published network that was not imported.
    """
    if regressor == "tokens":
        return product(max_people)
    people = (blazepose.detector_network(), blazepose.landmarker_network(max_batch=max_people))
    if regressor == "kinematic":
        return people
    from mocap.models import published  # and torch with it

    return (*people, published.as_network(regressor, max_people))


def live(max_people: int = 1) -> Sequence[engines.Network]:
    """What `live` runs."""
    return (
        blazepose.detector_network(),
        blazepose.landmarker_network(features=True, max_batch=max_people),
        token_capture.step_network(max_people=max_people),
    )
