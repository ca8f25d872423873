"""A walking skeleton in three dimensions.

Body frame: x to the person's left, y up from the ground, z forward; metres, for an adult of
1.75 m. Angles in radians.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from bagreid.data.synthetic.draws import Floats
from bagreid.data.synthetic.people import Person

HIP_HEIGHT = 0.9
KNEE_HEIGHT = 0.49
ANKLE_HEIGHT = 0.09
NECK_HEIGHT = 1.49
SHOULDER_HEIGHT = 1.405
UPPER_ARM = 0.29
FOREARM = 0.36
"""Elbow to finger tips."""


_SKIRT_STRIDE = {"skirt": 0.8, "long skirt": 0.5}


class Joint(IntEnum):
    """Rows of the joint table; the right side follows its left side."""

    SHOULDER = 0
    ELBOW = 2
    HAND = 4
    HIP = 6
    KNEE = 8
    ANKLE = 10
    HEEL = 12
    TOE = 14


JOINTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """How a person stands at one moment."""

    phase: float
    """Where in the two steps of a gait cycle, 0...2 pi."""
    swing: float
    """Largest angle of the thighs; 0 stands still."""
    elbows: tuple[float, float]
    """Bend of the left and the right elbow."""
    spread: float
    """Angle of the arms away from the body."""


def joints(person: Person, pose: Pose) -> Floats:
    """Where the joints are.

    Args:
        person: Gives the lengths.
        pose: Gives the angles.

    Returns:
        ``(JOINTS, 3)`` float32 in the body frame, the lower foot on the ground.
    """
    table = np.zeros((JOINTS, 3), np.float32)
    stride = person.stride * _SKIRT_STRIDE.get(person.lower_kind, 1.0)
    pose = replace(pose, swing=pose.swing * stride)
    for index, side in enumerate((1.0, -1.0)):
        _leg(table, person, pose, index, side)
        _arm(table, person, pose, index, side)
    table[Joint.HIP :, 1] += ANKLE_HEIGHT - table[[Joint.ANKLE, Joint.ANKLE + 1], 1].min()
    return table


def _leg(table: Floats, person: Person, pose: Pose, index: int, side: float) -> None:
    phase = pose.phase + (0.0 if side > 0 else np.pi)
    thigh = pose.swing * np.sin(phase)
    knee = 0.08 + 1.7 * pose.swing * max(0.0, float(np.cos(phase))) ** 1.5
    shin = thigh - knee
    upper = (HIP_HEIGHT - KNEE_HEIGHT) * person.legs
    lower = (KNEE_HEIGHT - ANKLE_HEIGHT) * person.legs
    hip = np.array([side * 0.088 * person.hips, HIP_HEIGHT, 0.0])
    at_knee = hip + upper * np.array([0.0, -np.cos(thigh), np.sin(thigh)])
    ankle = at_knee + lower * np.array([side * 0.02, -np.cos(shin), np.sin(shin)])
    tilt = shin * 0.6 if shin < 0 else shin * 0.8
    heel = ankle + np.array([0.0, -0.045, -0.05])
    toe = ankle + np.array([side * 0.035, -0.055 + 0.2 * np.sin(tilt) * 0.5, 0.17 * np.cos(tilt)])
    for joint, place in (
        (Joint.HIP, hip),
        (Joint.KNEE, at_knee),
        (Joint.ANKLE, ankle),
        (Joint.HEEL, heel),
        (Joint.TOE, toe),
    ):
        table[joint + index] = place


def _arm(table: Floats, person: Person, pose: Pose, index: int, side: float) -> None:
    phase = pose.phase + (np.pi if side > 0 else 0.0)
    upper = 0.85 * pose.swing * np.sin(phase)
    lower = upper + pose.elbows[index]
    out = np.sin(pose.spread)
    shoulder = np.array([side * 0.172 * person.shoulders, SHOULDER_HEIGHT, 0.0])
    elbow = shoulder + UPPER_ARM * np.array([side * out, -np.cos(upper), np.sin(upper)])
    hand = elbow + FOREARM * np.array([side * out * 0.3, -np.cos(lower), np.sin(lower)])
    table[Joint.SHOULDER + index] = shoulder
    table[Joint.ELBOW + index] = elbow
    table[Joint.HAND + index] = hand
