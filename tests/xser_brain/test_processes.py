"""Under torchrun: a run of several processes is the run of one, to rounding."""

import re

import pytest
from small import KINDS


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("processes", [2, 3])
def test_fifty_steps_are_those_of_one_process(
    kind, processes, launch, assert_same_gradients
):
    one, expected = launch(kind)
    many, found = launch(kind, processes, expected)
    assert_same_gradients(found, expected, least=50)
    curves = [
        [float(x) for x in re.findall(r"loss: ([\d.e+-]+)", log.read_text())]
        for log in (one / "train_log.txt", many / "train_log.txt")
    ]
    assert len(curves[0]) == 4  # training and validation, twice
    assert curves[0] == pytest.approx(
        curves[1], rel=1e-3
    )  # as many digits as are logged
