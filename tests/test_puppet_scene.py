"""The person apart from the background: mattes, backdrops, shapes of the picture, breathing."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.contract import Job
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.facemesh.person import PersonNetwork
from avatarctl.engines.puppet import backdrop, timeline
from avatarctl.engines.puppet.engine import AnimateEngine
from avatarctl.engines.puppet.framing import EYE_LEVEL, LOWEST_EYES, UPRIGHT_EYE_LEVEL, Outline, view
from avatarctl.engines.puppet.matte import Matte, find_matte
from avatarctl.engines.puppet.pushpull import push_pull
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import Rig, build_rig
from avatarctl.engines.puppet.spec import PuppetAnimateParams
from avatarctl.errors import BadConfig, BadInput
from avatarctl.media import ffmpeg, image, video
from avatarctl.stages.catalog import ASPECTS, picture_size
from avatarctl.text import colours
from tests.mouth_support import VARIANTS, Picture, gap, row
from tests.test_puppet_engine import spoken
from tests.test_puppet_render import LOUD_A, psnr
from tests.test_timeline import speech

SIZE = 320
SWEEP = [
    {},
    {"yaw": 12.0, "roll": 8.0},
    {"yaw": -12.0, "pitch": 6.0, "roll": -8.0, "breath": 1.0},
    {**LOUD_A, "yaw": 7.0, "tx": 0.1, "ty": 0.05, "breath": 0.5, "blink": 1.0},
]


@pytest.fixture(scope="module")
def rigs(photos: dict[str, Picture], mesh: FaceMesh, network: PersonNetwork) -> dict[tuple[str, str], Rig]:
    return {
        (name, aspect): build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42, aspect=aspect, network=network)
        for name, photo in photos.items()
        for aspect in ASPECTS
    }


@pytest.fixture(params=[(name, aspect) for name in ("astronaut", "hopper") for aspect in ASPECTS])
def rig(request: pytest.FixtureRequest, rigs: dict[tuple[str, str], Rig]) -> Rig:
    return rigs[request.param]


@pytest.fixture(scope="module")
def plain(photos: dict[str, Picture], mesh: FaceMesh) -> Rig:
    """A rig whose matte is not known."""
    return build_rig(photos["hopper"], mesh.landmarks(photos["hopper"]).points, SIZE, 0.42)


def head_of(alpha: NDArray[np.uint8], photo: Picture) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(alpha, photo.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_people_are_told_from_backgrounds(
    variant: str, name: str, photos: dict[str, Picture], mesh: FaceMesh, network: PersonNetwork
) -> None:
    photo = VARIANTS[variant](photos[name])
    landmarks = mesh.landmarks(photo).points
    matte = find_matte(photo, landmarks, network)
    assert matte.trusted, (matte.doubt, matte.moved, matte.face)
    height, width = photo.shape[:2]
    outline = head_of(matte.outline, photo)
    top = matte.silhouette(landmarks).top
    assert outline[: int(0.02 * height)].mean() < 0.05, "there is air above both heads"
    assert outline[int(0.9 * height), int(0.3 * width) : int(0.6 * width)].all()
    forehead = landmarks[10, 1]
    face = np.linalg.norm(landmarks[10, :2] - landmarks[152, :2])
    assert 0.1 * face < forehead - top < 1.1 * face, "hair and hat belong to the head"


def test_a_matte_is_the_same_every_time(photos: dict[str, Picture], mesh: FaceMesh, network: PersonNetwork) -> None:
    photo = photos["hopper"]
    points = mesh.landmarks(photo).points
    one, two = (find_matte(photo, points, network) for _ in range(2))
    assert np.array_equal(one.outline, two.outline) and np.array_equal(one.slope, two.slope)


def test_a_face_in_a_pattern_is_not_trusted(photos: dict[str, Picture], mesh: FaceMesh, network: PersonNetwork) -> None:
    """A face that fills the photo has no outline to cut along; the film is made as if nothing were known."""
    photo = photos["astronaut"]
    x0, y0, x1, y1 = (round(v) for v in mesh.landmarks(photo).box)
    tight = np.ascontiguousarray(photo[y0 - 8 : y1 + 8, x0 - 8 : x1 + 8])
    made = build_rig(tight, mesh.landmarks(tight).points, SIZE, 0.42, network=network)
    assert not made.scene.trusted
    rest = Renderer(made).render(row())
    assert len(mesh.faces(rest)) == 1


def test_background_out_of_reach_stands_still(rig: Rig) -> None:
    assert rig.scene.trusted
    renderer = Renderer(rig)
    still = rig.moving == 0
    assert 0.03 < still.mean() < 0.9
    for controls in SWEEP:
        assert np.array_equal(renderer.render(row(**controls))[still], rig.canvas[still])


@pytest.mark.parametrize("mood", ["neutral", "surprised"])
def test_background_is_the_same_bits_in_every_drawn_frame(mood: str, rigs: dict[tuple[str, str], Rig]) -> None:
    """Of a whole performance, before anything is encoded."""
    made = rigs["astronaut", "1:1"]
    moves = timeline.build(speech("b 'a t a m 'o l e v 'i s u"), 25, 3, replace(PuppetAnimateParams(), mood=mood))
    renderer, still = Renderer(made), made.moving == 0
    assert still.mean() > 0.1
    assert all(np.array_equal(renderer.render(values)[still], made.canvas[still]) for values in moves.values)


def test_background_stands_still_in_the_film(rigs: dict[tuple[str, str], Rig], tmp_path: Path) -> None:
    made = rigs["hopper", "1:1"]
    renderer = Renderer(made)
    with video.Encoder(tmp_path / "a.mp4", SIZE, SIZE, 25, crf=18) as encoder:
        for angle in np.linspace(0, 2 * np.pi, 50):
            picture = renderer.render(row(yaw=9 * float(np.sin(angle)), roll=4 * float(np.sin(2 * angle)), breath=0.5))
            encoder.write(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8))
    command = [
        ffmpeg.binary(),
        "-v",
        "error",
        "-i",
        str(tmp_path / "a.mp4"),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(-1, SIZE, SIZE, 3)
    still = cv2.erode((made.moving == 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    grey = [cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2GRAY) for f in frames]
    first = cv2.cvtColor(made.canvas, cv2.COLOR_RGB2GRAY)
    assert min(psnr(f[still], first[still]) for f in grey) >= 38


def test_lines_of_the_background_stay_straight(rigs: dict[tuple[str, str], Rig]) -> None:
    """A grid behind the person is the same grid up to the outline, however the head turns."""
    made = rigs["astronaut", "1:1"]
    grid = np.full((SIZE, SIZE, 3), 255, np.uint8)
    grid[::8] = grid[:, ::8] = (255, 0, 255)
    renderer, white = Renderer(made, grid), Renderer(made, np.full_like(grid, 255))
    for controls in SWEEP:
        over_grid, over_white = renderer.render(row(**controls)), white.render(row(**controls))
        free = (over_white > 252).all(-1) & ~cv2.dilate((over_white < 250).any(-1).astype(np.uint8), None).astype(bool)
        assert free.mean() > 0.2
        assert np.abs(over_grid[free].astype(int) - grid[free]).max() <= 4


def test_another_background_shows_no_rim_of_the_old_one(rigs: dict[tuple[str, str], Rig]) -> None:
    """Over black, the outline of the head is no lighter than the hair; over white no darker than it."""
    made = rigs["astronaut", "1:1"]
    share = cv2.resize(made.scene.alpha, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    inside = cv2.erode((share == 255).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    rows = np.arange(SIZE)[:, None] < made.frame.origin[1] - 0.3 * made.frame.unit
    rim, hair = (share > 60) & (share < 200) & rows, (share == 255) & ~inside & rows
    assert rim.sum() > 100
    colours_of = cv2.resize(made.texture, (SIZE, SIZE), interpolation=cv2.INTER_AREA).mean(-1)
    assert abs(float(np.median(colours_of[rim])) - float(np.median(colours_of[hair]))) < 25
    assert float(np.median(made.canvas.mean(-1)[rim])) > float(np.median(colours_of[rim])) + 10


def test_a_dark_background_beside_an_ear_is_not_taken_along_with_a_dark_hat(
    photos: dict[str, Picture], mesh: FaceMesh, network: PersonNetwork
) -> None:
    """A graph cut knows but one set of colours for the whole person, and the hat's are those of the flag's folds."""
    face = mesh.landmarks(photos["hopper"])
    found = find_matte(photos["hopper"], face.points, network)
    eyes, lips, unit = (n * found.scale for n in (face.eye_centres[:, 1].mean(), face.points[13, 1], face.interocular))
    folds = found.outline[
        round(eyes) : round((eyes + lips) / 2), : round(face.points[127, 0] * found.scale - 0.2 * unit)
    ]
    assert int(folds.sum()) == 0
    assert int(found.outline[: round(eyes - unit)].sum()) > 1.8 * unit**2  # the hat is whole


def test_rest_is_the_photo_up_to_the_outline(rigs: dict[tuple[str, str], Rig]) -> None:
    for aspect in ASPECTS:
        made = rigs["hopper", aspect]
        assert psnr(Renderer(made).render(row()), made.canvas) > 38


@pytest.mark.parametrize("aspect", ASPECTS)
def test_the_frame_has_its_shape(aspect: str, rigs: dict[tuple[str, str], Rig], mesh: FaceMesh) -> None:
    width, height = picture_size(SIZE, aspect)
    for name in ("astronaut", "hopper"):
        made = rigs[name, aspect]
        picture = Renderer(made).render(row(**LOUD_A))
        assert picture.shape == made.canvas.shape == (height, width, 3)
        assert made.texture.shape == (2 * height, 2 * width, 3)
        face = mesh.landmarks(picture)
        assert gap(face) > 0.15
        eyes = float(face.eye_centres[:, 1].mean()) / height
        low, high = (UPRIGHT_EYE_LEVEL - 0.03, LOWEST_EYES + 0.03) if height > width else (0.3, EYE_LEVEL + 0.12)
        assert low < eyes < high
        assert abs(float(face.eye_centres[:, 0].mean()) / width - 0.5) < 0.12


def portrait_points(x: float, y: float, face: float) -> NDArray[np.float32]:
    """Landmarks of a face of that height between the eyes; only what framing reads is right."""
    points = np.zeros((478, 3), np.float32)
    points[:, 0], points[:, 1] = x, y
    points[10, 1], points[152, 1] = y - 0.38 * face, y + 0.62 * face
    return points


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("outline", [None, Outline(60.0, cut_above=False, cut_aside=False)])
def test_the_frame_never_reaches_below_a_portrait(aspect: str, outline: Outline | None) -> None:
    photo = np.zeros((600, 500, 3), np.uint8)
    width, height = picture_size(256, aspect)
    seen = view(photo, portrait_points(250, 220, 190), width, height, 0.42, outline)
    _, below, left, right = seen.margins(photo)
    if outline is not None or aspect == "1:1":
        assert below == 0
    assert abs(left - right) <= 1
    assert seen.width / seen.height == pytest.approx(width / height, rel=0.01)


def test_a_large_photo_is_framed_as_asked() -> None:
    photo = np.zeros((3000, 3000, 3), np.uint8)
    points = portrait_points(1500, 1200, 200)
    for aspect, level in (("1:1", EYE_LEVEL), ("9:16", UPRIGHT_EYE_LEVEL), ("16:9", EYE_LEVEL)):
        width, height = picture_size(1080, aspect)
        seen = view(photo, points, width, height, 0.42)
        assert 200 * seen.scale == pytest.approx(0.42 * 1080, rel=0.01)
        assert (1200 - seen.top) * seen.scale / height == pytest.approx(level, abs=0.01)


def test_a_breath_raises_the_shoulders(rigs: dict[tuple[str, str], Rig], mesh: FaceMesh) -> None:
    made = rigs["hopper", "1:1"]
    renderer = Renderer(made)
    rest, full = renderer.render(row()), renderer.render(row(breath=1))
    unit, (x, y) = made.frame.unit, made.frame.origin
    flow = cv2.calcOpticalFlowFarneback(
        cv2.cvtColor(rest, cv2.COLOR_RGB2GRAY), cv2.cvtColor(full, cv2.COLOR_RGB2GRAY), None, 0.5, 4, 21, 5, 7, 1.5, 0
    )
    top = int(y + 1.55 * unit)
    chest = flow[top : top + int(0.3 * unit), int(x - 0.4 * unit) : int(x + 0.4 * unit), 1]
    assert -0.045 * unit < float(np.median(chest)) < -0.008 * unit
    ride = mesh.landmarks(full).xy.mean(0)[1] - mesh.landmarks(rest).xy.mean(0)[1]
    assert -0.02 * unit < ride < -0.001 * unit


def test_without_a_matte_a_breath_leaves_the_background(plain: Rig) -> None:
    nodes, field = plain.head.lattice().points, np.abs(plain.head.breath).max(-1)
    across, down = ((nodes - plain.frame.origin) / plain.frame.unit).transpose(2, 0, 1)
    assert field[np.abs(across) > 1.1].max(initial=0) == 0
    assert field[down < 0.6].max(initial=0) < 0.002 * plain.frame.unit
    assert field.max() > 0.01 * plain.frame.unit


@pytest.mark.parametrize(
    ("name", "size", "least"), [("astronaut", 512, 0.95), ("hopper", 512, 0.95), ("hopper", 256, 0.9)]
)
def test_sharpness_does_not_breathe(
    name: str, size: int, least: float, photos: dict[str, Picture], mesh: FaceMesh, network: PersonNetwork
) -> None:
    """The photo has fewer pixels than the picture, or more of them."""
    photo = photos[name]
    made = build_rig(photo, mesh.landmarks(photo).points, size, 0.42, network=network)
    renderer = Renderer(made)
    x, y = (int(v) for v in made.frame.origin)
    unit = int(made.frame.unit)
    energies = []
    for step in range(24):
        angle = 2 * np.pi * step / 24
        sway = row(yaw=2 * np.sin(angle), roll=1.2 * np.cos(angle), tx=0.02 * np.sin(2 * angle), breath=step / 24)
        picture = renderer.render(sway)[max(0, y - 2 * unit) : y + unit, x - unit : x + unit]
        energies.append(float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var()))
    assert min(energies) / max(energies) >= least, energies
    # And it is that of the photo: sharpness that does not breathe is easily had by blurring.
    photo_grey = cv2.cvtColor(made.canvas[max(0, y - 2 * unit) : y + unit, x - unit : x + unit], cv2.COLOR_RGB2GRAY)
    assert np.mean(energies) / cv2.Laplacian(photo_grey, cv2.CV_32F).var() >= 0.93


def test_a_picture_covers_the_frame() -> None:
    wide = np.zeros((100, 400, 3), np.uint8)
    wide[:, 150:250] = 255
    assert (backdrop.cover(wide, 64, 64) > 200).mean() > 0.9
    assert backdrop.cover(wide, 90, 160).shape == (160, 90, 3)
    assert backdrop.cover(np.zeros((1, 1, 3), np.uint8), 32, 18).shape == (18, 32, 3)


def test_specks_are_none_of_the_person() -> None:
    alpha = np.zeros((40, 40), np.uint8)
    alpha[5:30, 5:30] = 255
    alpha[30:32, 5:30] = 10
    alpha[36, 36] = 200
    cleaned = backdrop.without_specks(alpha)
    assert cleaned[36, 36] == 0 and (cleaned[:34] == alpha[:34]).all()
    assert not backdrop.without_specks(np.zeros((8, 8), np.uint8)).any()


def test_stray_hairs_do_not_stay_behind() -> None:
    """A short curl beside the head is painted over; a pole as thin as it belongs to the background."""
    grain = np.random.default_rng(1).normal(0, 3, (160, 160, 3))
    canvas = np.clip(grain + np.array([90, 120, 180]), 0, 255).astype(np.uint8)
    cv2.ellipse(canvas, (104, 80), (7, 9), 0, 0, 250, (235, 235, 235), 1, cv2.LINE_AA)
    cv2.line(canvas, (30, 0), (30, 159), (235, 235, 235), 1)
    alpha = np.zeros((160, 160), np.uint8)
    cv2.circle(alpha, (68, 80), 22, 255, -1)
    canvas[alpha > 0] = (200, 150, 120)
    found, _ = backdrop.plate(canvas, np.full_like(canvas, (200, 150, 120)), alpha, (0, 0, 160, 160), 60.0)
    assert (np.abs(found[60:100, 92:116].astype(int) - (90, 120, 180)).max() < 40) and found[:, 30].min() > 200


def test_no_line_of_the_outline_stays_behind_on_a_busy_background() -> None:
    """A sharpened photo has a dark line around a light cap, which stood still before a flag while the head turned."""
    down, across = np.mgrid[:200, :200]
    far = np.hypot(down - 100, across - 100)
    canvas = np.where((across // 25 % 2)[..., None], (220, 210, 200), (110, 40, 60)).astype(np.uint8)
    canvas[far < 52] = 0
    canvas[far < 50] = 240
    alpha = (np.clip(50.5 - far, 0, 1) * 255).astype(np.uint8)
    found, _ = backdrop.plate(canvas, np.full_like(canvas, 240), alpha, (0, 0, 200, 200), 150.0)
    assert found[far > 46].max(-1).min() > 80
    np.testing.assert_array_equal(found[far > 60], canvas[far > 60])


def test_push_pull_keeps_what_is_known() -> None:
    colour = np.random.default_rng(1).uniform(0, 255, (37, 53, 3)).astype(np.float32)
    known = np.ones((37, 53), np.float32)
    known[10:30, 20:40] = 0
    filled = push_pull(colour, known)
    np.testing.assert_allclose(filled[known > 0], colour[known > 0], atol=1e-3)
    assert filled.min() >= -1e-3 and filled.max() <= 255.001
    flat = push_pull(np.full((64, 64, 3), 77, np.float32), np.eye(64, dtype=np.float32))
    np.testing.assert_allclose(flat, 77, atol=1e-2)


@pytest.mark.parametrize(
    ("text", "wanted"), [("#20c060", (32, 192, 96)), ("#fff", (255, 255, 255)), (" #A0b ", (170, 0, 187))]
)
def test_colours_are_read(text: str, wanted: tuple[int, int, int]) -> None:
    assert colours.parse(text) == wanted


@pytest.mark.parametrize("text", ["", "blue", "20c060", "#12345", "#ggg", "#1234567"])
def test_other_words_are_no_colours(text: str) -> None:
    with pytest.raises(ValueError, match="colour"):
        colours.parse(text)


def clip(folder: Path, inputs: dict[str, Path], params: PuppetAnimateParams) -> NDArray[np.uint8]:
    folder.mkdir()
    engine = AnimateEngine()
    engine.load({})
    engine.run(Job(inputs=inputs, out=folder, params=params))
    width, height = picture_size(params.size, params.aspect)
    command = [ffmpeg.binary(), "-v", "error", "-i", str(folder / "clip.mp4")]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def test_the_engine_puts_backgrounds_behind(rigs: dict[tuple[str, str], Rig], tmp_path: Path) -> None:
    rigs["astronaut", "9:16"].save(tmp_path / "a.rig")
    inputs = {"rig": tmp_path / "a.rig", **spoken(tmp_path, 0.6)}
    params = PuppetAnimateParams(size=SIZE, aspect="9:16", background="#20c060")
    green = clip(tmp_path / "green", inputs, params)
    assert np.abs(green[:, 4:20, 4:20].astype(int) - (32, 192, 96)).max() <= 6
    picture = np.zeros((90, 200, 3), np.uint8)
    picture[..., 2] = 200
    image.write_png(tmp_path / "sky.png", picture)
    given = {**inputs, "background": tmp_path / "sky.png"}
    sky = clip(tmp_path / "sky", given, replace(params, background=""))
    assert np.abs(sky[:, 4:20, 4:20].astype(int) - (0, 0, 200)).max() <= 8
    middle = np.s_[:, 200:260, 140:180]
    assert np.abs(sky[middle].astype(int) - green[middle]).mean() < 3, "the face is the same"


def test_what_cannot_be_put_behind_says_why(rigs: dict[tuple[str, str], Rig], plain: Rig, tmp_path: Path) -> None:
    plain.save(tmp_path / "plain.rig")
    rigs["hopper", "1:1"].save(tmp_path / "a.rig")
    sound = spoken(tmp_path, 0.4)
    with pytest.raises(BadInput, match="cannot be replaced"):
        clip(
            tmp_path / "one",
            {"rig": tmp_path / "plain.rig", **sound},
            PuppetAnimateParams(size=SIZE, background="#fff"),
        )
    with pytest.raises(BadConfig, match="blue"):
        clip(tmp_path / "two", {"rig": tmp_path / "a.rig", **sound}, PuppetAnimateParams(size=SIZE, background="blue"))
    with pytest.raises(BadInput, match="another size"):
        clip(tmp_path / "three", {"rig": tmp_path / "a.rig", **sound}, PuppetAnimateParams(size=SIZE, aspect="16:9"))


def test_an_untrusted_matte_still_cuts(rigs: dict[tuple[str, str], Rig]) -> None:
    made = rigs["hopper", "1:1"]
    unsure = replace(made, scene=replace(made.scene, trusted=False, backdrop=np.zeros((0, 0), np.uint8)))
    behind = np.full((SIZE, SIZE, 3), (32, 192, 96), np.uint8)
    picture = Renderer(unsure, behind).render(row(yaw=8))
    assert (picture[:10, -10:] == (32, 192, 96)).all()
    assert np.array_equal(Renderer(unsure).render(row())[made.moving == 0], made.canvas[made.moving == 0])


def test_where_nobody_can_be_cut_out_the_background_stands_still_soon_beside_the_head(
    plain: Rig, mesh: FaceMesh
) -> None:
    left, _, right, chin = mesh.landmarks(plain.canvas).box
    still = np.flatnonzero(~plain.moving[: round(chin)].any(0))
    beside = np.abs(still - (left + right) / 2) / (right - left)
    assert beside.min() < 1.15


def test_trust_follows_the_figures() -> None:
    nothing = np.zeros((4, 4), np.uint8)
    flat = np.zeros((4, 4), np.float32)
    good = Matte(nothing, np.zeros((4, 4, 3), np.float32), flat, 1.0, doubt=0.01, moved=0.01, face=1.0)
    assert good.trusted
    for worse in ({"doubt": 0.5}, {"moved": 0.5}, {"face": 0.7}):
        assert not replace(good, **worse).trusted
