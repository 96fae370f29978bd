# SPDX-License-Identifier: Apache-2.0
"""Numbers that a loop reports for those who look at the run."""

from __future__ import annotations

import math

import pytest

import sgp_torch as sgp


def test_numbers_are_taken():
    group = sgp.Group()
    group.report(loss=0.5, accuracy=1, samples=32, epoch=1, epochs=90, seconds_left=3.5)
    group.report(loss=math.nan, accuracy=0.0)
    group.report(loss=-1e300)
    group.report()
    group.leave()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"los": 1}, '"los" is no number of a run, must be loss, accuracy, samples, epoch, epochs or seconds_left'),
        ({"accuracy": 93}, "accuracy is 93, must be 0 to 1"),
        ({"samples": -1}, "samples is -1, must be 0 to inf"),
        ({"epoch": -2}, "epoch is -2, must be 0 to"),
    ],
)
def test_mistakes(numbers, message):
    group = sgp.Group()
    with pytest.raises(sgp.Error) as caught:
        group.report(**numbers)
    assert message in str(caught.value)
    group.report(loss=1)
    group.leave()


def test_default_group():
    sgp.init()
    sgp.report(loss=2.0)
    with pytest.raises(sgp.Error):
        sgp.report(lr=0.1)
