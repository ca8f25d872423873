"""How people are drawn: the flat rasteriser against a loop over pixels, poses, views, cameras."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bagreid.data.synthetic.body import body
from bagreid.data.synthetic.cameras import GALLERY_CAMERA, QUERY_CAMERA, lens
from bagreid.data.synthetic.people import Person, person
from bagreid.data.synthetic.pose import FOREARM, UPPER_ARM, Joint, Pose, joints
from bagreid.data.synthetic.raster import Camera, draw
from bagreid.data.synthetic.shots import Shot, render
from bagreid.data.synthetic.solids import SECTIONS, Body, Builder, outline, rounded
from bagreid.data.synthetic.textures import COLUMNS, ROWS, plain, woven

STAND = Pose(phase=0.0, swing=0.0, elbows=(0.2, 0.2), spread=0.1)


def view(yaw: float, scale: float = 60.0, pitch: float = 0.0) -> Camera:
    return Camera(
        yaw=yaw, pitch=pitch, scale=scale, foot_x=32.0, foot_y=120.0, light=(0.0, 0.0, 1.0),
        ambient=1.0,
    )  # fmt: skip


def covered_by_hand(
    solid: Body, part: int, camera: Camera, height: int, width: int
) -> npt.NDArray[np.bool_]:
    """Pixels of one part without extension, a pixel at a time; points come from ``fixed``."""
    cos, sin = np.cos(camera.yaw), np.sin(camera.yaw)
    ends = []
    for x, y, z in solid.fixed[solid.ends[part] - 16]:
        near = z * cos - x * sin
        down = -(y * np.cos(camera.pitch) - near * np.sin(camera.pitch))
        right = x * cos + z * sin
        ends.append((right * camera.scale + camera.foot_x, down * camera.scale + camera.foot_y))
    (x0, y0), (x1, y1) = ends
    length = np.hypot(x1 - x0, y1 - y0)
    a_x, a_y = (x1 - x0) / length, (y1 - y0) / length
    found = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            d_x, d_y = column + 0.5 - x0, row + 0.5 - y0
            t = (d_x * a_x + d_y * a_y) / length
            if not 0 <= t <= 1:
                continue
            section = min(int(t * SECTIONS), SECTIONS - 1)
            reach = np.hypot(solid.width[part, section] * cos, solid.depth[part, section] * sin)
            found[row, column] = abs(d_x * a_y - d_y * a_x) < reach * camera.scale
    return found


@settings(max_examples=25, deadline=None)
@given(
    ends=st.lists(st.tuples(*[st.floats(-0.8, 2.2)] * 3), min_size=2, max_size=2),
    yaw=st.floats(-3.1, 3.1),
    pitch=st.floats(0.0, 0.5),
    radius=st.floats(0.05, 0.4),
)
def test_a_part_covers_the_pixels_a_slow_loop_finds(
    ends: list[tuple[float, float, float]], yaw: float, pitch: float, radius: float
) -> None:
    builder = Builder()
    number = builder.texture(plain((200.0, 100.0, 50.0)))
    width = rounded(outline((0, radius), (1, radius / 2)), 0.2)
    builder.add(ends[0], ends[1], width, number, depth=width * np.float32(0.7))
    solid = builder.build()
    camera = view(yaw, 20.0, pitch)
    near = [point[2] * np.cos(yaw) - point[0] * np.sin(yaw) for point in np.array(solid.fixed)]
    flat = [(p[0] * np.cos(yaw) + p[2] * np.sin(yaw)) for p in solid.fixed]
    tall = [
        p[1] * np.cos(pitch) - n * np.sin(pitch) for p, n in zip(solid.fixed, near, strict=True)
    ]
    if np.hypot(flat[0] - flat[1], tall[0] - tall[1]) < 0.2:
        return  # seen end on; the shortest axes are lengthened
    canvas = np.zeros((140, 64), np.uint32)
    draw(canvas, solid, np.zeros((16, 3), np.float32), camera)
    expected = covered_by_hand(solid, 0, camera, 140, 64)
    # Single against double precision: a pixel on the very edge may fall either way.
    assert np.count_nonzero((canvas != 0) != expected) <= 0.02 * expected.sum() + 2


def test_near_parts_hide_far_ones() -> None:
    builder = Builder()
    red, blue = (builder.texture(plain(c)) for c in ((200.0, 0.0, 0.0), (0.0, 0.0, 200.0)))
    width = outline((0, 0.2))
    builder.add((0.0, 1.5, 0.3), (0.0, 0.5, 0.3), width, red)
    builder.add((0.0, 1.5, -0.3), (0.0, 0.5, -0.3), width, blue)
    for yaw, seen in ((0.0, 0), (np.pi, 2)):
        canvas = np.zeros((140, 64), np.uint32)
        draw(canvas, builder.build(), np.zeros((16, 3), np.float32), view(yaw))
        middle = canvas.view(np.uint8).reshape(140, 64, 4)[60, 32]
        assert np.flatnonzero(middle[:3]).tolist() == [seen]


@pytest.mark.parametrize("phase", np.linspace(0, 6, 7))
def test_limbs_keep_their_length_and_a_foot_its_ground(phase: float) -> None:
    who = person(0, 5)
    table = joints(who, Pose(phase=phase, swing=0.5, elbows=(0.3, 2.0), spread=0.15))
    for side in (0, 1):
        arm = np.linalg.norm(table[Joint.SHOULDER + side] - table[Joint.ELBOW + side])
        fore = np.linalg.norm(table[Joint.ELBOW + side] - table[Joint.HAND + side])
        assert arm == pytest.approx(UPPER_ARM, rel=0.03)
        assert fore == pytest.approx(FOREARM, rel=0.03)
        assert table[Joint.KNEE + side, 1] < table[Joint.HIP + side, 1]
    ankles = table[[Joint.ANKLE, Joint.ANKLE + 1], 1]
    assert ankles.min() == pytest.approx(0.09, abs=1e-6)


def test_the_two_sides_walk_half_a_cycle_apart() -> None:
    who = person(0, 5)
    pose = Pose(phase=0.7, swing=0.4, elbows=(0.3, 0.3), spread=0.1)
    later = Pose(phase=0.7 + np.pi, swing=0.4, elbows=(0.3, 0.3), spread=0.1)
    now, then = joints(who, pose), joints(who, later)
    mirrored = then.reshape(-1, 2, 3)[:, ::-1] * np.array([-1, 1, 1])
    np.testing.assert_allclose(now.reshape(-1, 2, 3), mirrored, atol=1e-5)


def test_a_print_on_the_chest_shows_from_the_front_only() -> None:
    who = next(
        number for number in range(1, 300)
        if person(0, number).print_place == "front" and person(0, number).upper.kind == "plain"
        and person(0, number).upper_kind == "top" and person(0, number).bag == "none"
    )  # fmt: skip
    wanted = np.array(person(0, who).print_colour)
    seen = []
    for yaw in (0.0, np.pi):
        canvas = np.zeros((140, 64), np.uint32)
        draw(canvas, body(0, who), joints(person(0, who), STAND), view(yaw))
        chest = canvas.view(np.uint8).reshape(140, 64, 4)[30:70, 26:38, :3].astype(float)
        seen.append(np.mean(np.abs(chest / 1.25 - wanted).max(axis=-1) < 16))
    assert seen[0] > 0.1 > 0.02 >= seen[1]


def test_textures_close_round_the_back() -> None:
    cloth = person(0, 1).upper
    texture = woven(cloth, 0.6, 0.15)
    assert texture.shape == (ROWS, COLUMNS, 3)
    assert texture.dtype == np.float32


def test_people_share_colours_but_not_looks() -> None:
    people = [person(0, number) for number in range(1, 301)]
    looks = Counter(map(_look, people))
    assert max(looks.values()) <= 3
    near_black = sum(max(who.upper.base) < 70 for who in people)
    assert near_black > 25


def _look(who: Person) -> tuple[object, ...]:
    return (
        who.hair_style, who.hat, who.upper_kind, who.upper.kind, who.sleeve, who.lower_kind,
        who.lower.kind, who.bag,
    )  # fmt: skip


def _mean_colour(side: int) -> npt.NDArray[np.float64]:
    shots = [
        Shot(person=number, place=place, side=side, track=(0, side, number, place), frame=0)
        for number in range(1, 11)
        for place in range(6)
    ]
    pictures = [Image.open(io.BytesIO(render(0, shot, 16))) for shot in shots]
    return np.mean([np.asarray(picture).mean(axis=(0, 1)) for picture in pictures], axis=0)


def test_query_pictures_are_darker_and_colder() -> None:
    query, gallery = _mean_colour(QUERY_CAMERA), _mean_colour(GALLERY_CAMERA)
    assert query.sum() < 0.95 * gallery.sum()
    assert query[0] / query[2] < gallery[0] / gallery[2]


def test_a_shot_follows_from_its_arguments() -> None:
    shot = Shot(person=3, place=2, side=0, track=(1, 2, 3), frame=1)
    first = render(4, shot, 32)
    body.cache_clear()
    person.cache_clear()
    lens.cache_clear()
    assert render(4, shot, 32) == first
    assert render(5, shot, 32) != first


def test_frames_of_a_track_look_alike_but_differ() -> None:
    frames = [
        np.asarray(
            Image.open(
                io.BytesIO(render(0, Shot(person=2, place=1, side=0, track=track, frame=frame), 32))
            ).resize((32, 64)),
            float,
        )
        for track, frame in (((1, 1), 0), ((1, 1), 1), ((2, 2), 0), ((3, 3), 0), ((4, 4), 0))
    ]
    near = np.abs(frames[0] - frames[1]).mean()
    far = np.mean([np.abs(frames[0] - other).mean() for other in frames[2:]])
    assert 0 < near < far
