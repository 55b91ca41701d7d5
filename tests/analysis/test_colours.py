"""Colours of charts are told apart by people who see all colours, and by those who lack one kind of cone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.charts._parts import COLOURS

# what is seen of linear RGB without one kind of cone: Machado, Oliveira and Fernandes 2009, severity 1.0
SEEN = {
    "all": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no long waves": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no middle waves": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no short waves": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
APART = 15.0  # CIE 1976; 2.3 is just noticed
PAPER, NIGHT = "#ffffff", "#1b1f26"


def linear(colour: str) -> np.ndarray:
    parts = np.frombuffer(bytes.fromhex(colour[1:]), np.uint8) / 255
    return np.where(parts > 0.04045, ((parts + 0.055) / 1.055) ** 2.4, parts / 12.92)


def lab(colour: str, seen: list[list[float]]) -> np.ndarray:
    """CIE L*a*b* of a colour as it is seen."""
    xyz = TO_XYZ @ np.clip(np.array(seen) @ linear(colour), 0, 1) / WHITE
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(colour: str, ground: str) -> float:
    """As WCAG has it."""
    light, dark = sorted((float(TO_XYZ[1] @ linear(one)) for one in (colour, ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_itself() -> None:
    assert lab("#ffffff", SEEN["all"]) == pytest.approx([100, 0, 0], abs=0.1)
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    red, green = (lab(colour, SEEN["no middle waves"]) for colour in ("#c00000", "#6f6f00"))
    assert np.linalg.norm(red - green) < APART, "these two are alike to a tenth of all men"


@pytest.mark.parametrize("eyes", list(SEEN))
def test_colours_are_told_apart(eyes: str) -> None:
    for one, other in itertools.combinations(COLOURS, 2):
        assert np.linalg.norm(lab(one, SEEN[eyes]) - lab(other, SEEN[eyes])) >= APART, (one, other)


@pytest.mark.parametrize("ground", [PAPER, NIGHT])
def test_colours_stand_out_from_their_ground(ground: str) -> None:
    assert min(contrast(colour, ground) for colour in COLOURS) >= 2.2
