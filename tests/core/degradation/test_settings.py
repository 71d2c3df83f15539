"""Settings of degradations: limits, texts, presets, and what is drawn from them."""

import functools
import math
from collections import Counter

import numpy as np
import pytest

from gpen_core.degradation import DEGRADE_PRESETS, DegradeSettings, draw_steps, find_preset
from gpen_core.degradation.age import AgeSettings, Dust, Fade, Scratches, Sepia
from gpen_core.degradation.blur import BlurKind, BlurSettings, Convolution
from gpen_core.degradation.color import Adjust, ColorSettings, Grey, Shift
from gpen_core.degradation.jpeg import Jpeg, JpegSettings
from gpen_core.degradation.noise import Noise, NoiseKind, NoiseSettings
from gpen_core.degradation.resize import Interpolation, Resize, ResizeSettings, Tilt
from gpen_core.degradation.settings import setting_paths
from gpen_core.errors import DegradeSettingsError

N_DRAWS = 2000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BlurSettings(sigma=(5, 2)), r"BlurSettings.sigma: .* 0 <= low <= high <= 64, got"),
        (lambda: BlurSettings(sigma=(-1, 2)), "BlurSettings.sigma"),
        (lambda: BlurSettings(sigma=(0, math.nan)), "BlurSettings.sigma"),
        (lambda: BlurSettings(sigma=(0, 1000)), "BlurSettings.sigma"),
        (lambda: BlurSettings(sigma=3), "BlurSettings.sigma"),
        (lambda: BlurSettings(sigma=("a", "b")), "BlurSettings.sigma"),
        (
            lambda: BlurSettings(probability=1.5),
            "BlurSettings.probability: .* from 0 to 1, got 1.5",
        ),
        (lambda: ColorSettings(grey=math.nan), "ColorSettings.grey"),
        (lambda: BlurSettings(kinds={"star": 1}), "some of gaussian, .* got {'star': 1}"),
        (lambda: BlurSettings(kinds={"gaussian": -1}), "BlurSettings.kinds"),
        (lambda: BlurSettings(kinds={"gaussian": 0}), "BlurSettings.kinds"),
        (lambda: BlurSettings(kinds={}), "BlurSettings.kinds"),
        (lambda: NoiseSettings(kinds="poisson"), "NoiseSettings.kinds"),
    ],
)
def test_settings_out_of_their_limits_are_refused(make, message):
    with pytest.raises(DegradeSettingsError, match=message):
        make()


def test_names_of_kinds_become_kinds():
    assert BlurSettings(kinds={"sinc": 1}).kinds == {BlurKind.SINC: 1.0}


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(DegradeSettingsError, match=r"one of gpen, gfpgan, .* got 'x'"):
        find_preset("x")
    assert find_preset("webcam") is DEGRADE_PRESETS["webcam"]


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("jpeg.quality", "40", (40, 40)),
        ("jpeg.quality", "30-60", (30, 60)),
        ("jpeg_2.quality", " 30 to 60 ", (30, 60)),
        ("blur.sigma", ".5, 2.25", (0.5, 2.25)),
        ("blur.probability", "0.5", 0.5),
        ("blur.kinds", "gaussian 0.7, generalized anisotropic 0.3",
         {BlurKind.GAUSSIAN: 0.7, BlurKind.GENERALIZED_ANISOTROPIC: 0.3}),
    ],
)  # fmt: skip
def test_a_text_replaces_one_setting_and_nothing_else(path, text, value):
    settings = DEGRADE_PRESETS["gfpgan"]
    changed = settings.changed({path: text})
    stage, name = path.split(".")
    assert getattr(getattr(changed, stage), name) == value
    back = changed.changed({})
    assert back == changed != settings
    others = [p.split(".") for p in setting_paths() if p != path]
    assert all(
        getattr(getattr(changed, s), n) == getattr(getattr(settings, s), n) for s, n in others
    )


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("jpeg.quality", "60-30", r"^jpeg.quality: expected \(low, high\)"),
        ("jpeg.quality", "much", "^jpeg.quality: expected a number or a range as in 30-60, got"),
        ("jpeg.quality", "", "^jpeg.quality"),
        ("jpeg.quality", "-5", "^jpeg.quality"),
        ("blur.probability", "0-1", "^blur.probability: expected a number, got '0-1'"),
        ("blur.probability", "2", "^blur.probability: expected a probability"),
        ("blur.kinds", "star 1", "^blur.kinds: expected a weight"),
        ("blur.kinds", "gaussian", "^blur.kinds"),
        ("blur", "1", "^blur: expected the name of a setting.*jpeg.quality"),
        ("blur.star", "1", "^blur.star"),
        ("changed.sigma", "1", "^changed.sigma"),
    ],
)
def test_a_text_that_cannot_be_read_is_named(path, text, message):
    with pytest.raises(DegradeSettingsError, match=message):
        DegradeSettings().changed({path: text})


@functools.cache
def _draws_of(preset):
    settings = DEGRADE_PRESETS[preset]
    return [draw_steps(settings, (512, 512), seed=0, index=i) for i in range(N_DRAWS)]


def _share(draws, happens):
    return sum(any(happens(step) for step in steps) for steps in draws) / len(draws)


def _has(step, /, **values):
    return lambda s: isinstance(s, step) and all(getattr(s, k) == v for k, v in values.items())


def test_by_default_nothing_happens():
    assert not any(draw_steps(DegradeSettings(), (512, 512), seed=i) for i in range(50))


@pytest.mark.parametrize(
    ("preset", "happens", "share"),
    [
        ("gpen", _has(Grey), 0.2),
        ("gfpgan", _has(Grey), 0.01),
        ("gfpgan", _has(Shift), 0.3),
        ("gfpgan", _has(Adjust, what="hue"), 0.3),
        ("codeformer", lambda s: isinstance(s, Convolution) and " x " in str(s), 0.5),
        ("codeformer", _has(Grey), 0.0),
        ("real-esrgan", lambda s: str(s).startswith("plateau blur"), 1 - 0.892 * 0.9136),
        ("real-esrgan", _has(Noise, kind=NoiseKind.POISSON), 0.75),
        ("real-esrgan", _has(Noise, is_grey=True), 1 - 0.6**2),
        ("old photo", _has(Grey), 1.0),
        ("old photo", _has(Sepia), 0.5),
        ("webcam", lambda s: str(s).startswith("motion"), 0.3),
    ],
)  # fmt: skip
def test_what_is_left_to_chance_happens_as_often_as_the_preset_says(preset, happens, share):
    tolerance = 4 * math.sqrt(share * (1 - share) / N_DRAWS)
    assert _share(_draws_of(preset), happens) == pytest.approx(share, abs=tolerance)


def test_ranges_are_drawn_evenly_from_end_to_end():
    qualities = [step.quality for steps in _draws_of("codeformer")
                 for step in steps if isinstance(step, Jpeg)]  # fmt: skip
    counts = Counter(qualities)
    assert (min(qualities), max(qualities)) == (30, 79)
    assert len(qualities) == N_DRAWS
    assert max(counts.values()) < 2 * N_DRAWS / 50 < 4 * min(counts.values())
    sides = [step.size[0] for steps in _draws_of("gfpgan")
             for step in steps[:-1] if isinstance(step, Resize)]  # fmt: skip
    assert (min(sides), max(sides)) == (64, pytest.approx(640, abs=6))
    assert sum(side > 512 / 4.4 for side in sides) / len(sides) == pytest.approx(0.5, abs=0.05)


def test_colours_move_either_way_and_no_further_than_their_range():
    shifts = [shift for steps in _draws_of("gfpgan") for step in steps
              if isinstance(step, Shift) for shift in step.steps]  # fmt: skip
    assert -20 <= min(shifts) < -19 < 19 < max(shifts) <= 20
    assert sum(shift > 0 for shift in shifts) / len(shifts) == pytest.approx(0.5, abs=0.05)
    assert np.abs(shifts).mean() == pytest.approx(10, rel=0.05)


def test_a_second_order_preset_goes_through_everything_twice():
    steps = draw_steps(DEGRADE_PRESETS["real-esrgan"], (512, 512), seed=3)
    kinds = Counter(type(step) for step in steps)
    assert kinds[Noise] == kinds[Jpeg] == 2
    assert kinds[Resize] >= 2
    sizes = [s.size for s in steps if isinstance(s, Resize)]
    assert sizes[-1] == (512, 512)
    assert 0.3 * 128 - 1 <= sizes[-2][0] <= 1.2 * 128


def test_presets_end_at_the_size_they_began_with():
    for settings in DEGRADE_PRESETS.values():
        for index in range(30):
            steps = draw_steps(settings, (100, 130), seed=0, index=index)
            resizes = [step for step in steps if isinstance(step, Resize)]
            assert not resizes or resizes[-1].size == (100, 130)


def test_the_look_of_old_photos_and_swaps_comes_with_their_presets():
    kinds = {type(step) for steps in _draws_of("old photo") for step in steps}
    assert {Grey, Sepia, Fade, Scratches, Dust} <= kinds
    kinds = {type(step) for step in draw_steps(DEGRADE_PRESETS["swap-128"], (512, 512), seed=0)}
    assert kinds == {Shift, Convolution, Resize, Tilt}


def test_pixels_are_stated_at_512_and_grow_with_the_picture():
    settings = DegradeSettings(blur=BlurSettings(sigma=(2, 2)))
    for side, sigma in ((256, 1.0), (512, 2.0), (1024, 4.0)):
        (step,) = draw_steps(settings, (side, 3 * side), seed=0)
        x = np.arange(len(step.kernel)) - len(step.kernel) // 2
        variance = (step.kernel.sum(axis=0) * x**2).sum()
        assert math.sqrt(variance) == pytest.approx(sigma, rel=0.01)


def test_kernels_are_cut_off_at_their_size():
    settings = DegradeSettings(blur=BlurSettings(sigma=(10, 10), size=(41, 41)))
    assert draw_steps(settings, (512, 512), seed=0)[0].kernel.shape == (41, 41)
    assert draw_steps(settings, (256, 256), seed=0)[0].kernel.shape == (21, 21)
    whole = DegradeSettings(blur=BlurSettings(sigma=(10, 10)))
    assert draw_steps(whole, (512, 512), seed=0)[0].kernel.shape == (81, 81)


def test_towards_strength_0_everything_drawn_comes_nearer_to_nothing():
    settings = DegradeSettings(
        resize=ResizeSettings(factor=(4, 4), interpolation={Interpolation.AREA: 1}),
        noise=NoiseSettings(sigma=(20, 20)),
        jpeg=JpegSettings(quality=(40, 40)),
    )
    resize, noise, jpeg, _ = draw_steps(settings, (512, 512), seed=0, strength=0.5)
    assert resize.size == (204, 204)  # by a factor of 2.5
    assert noise.amount == pytest.approx(10 / 255)
    assert jpeg.quality == 70
    assert draw_steps(settings, (512, 512), seed=0, strength=0) == []


@pytest.mark.parametrize("preset", DEGRADE_PRESETS)
def test_every_step_says_in_words_what_it_does(preset):
    words = {str(step) for steps in _draws_of(preset) for step in steps}
    assert all(text and "<" not in text for text in words)


def test_what_is_done_reads_as_a_sentence():
    settings = DegradeSettings(
        color=ColorSettings(grey=1.0),
        blur=BlurSettings(sigma=(2, 2)),
        resize=ResizeSettings(factor=(4, 4)),
        noise=NoiseSettings(sigma=(5, 5)),
        jpeg=JpegSettings(quality=(40, 40)),
        age=AgeSettings(scratches=(1, 1), dust=(9, 9)),
    )
    steps = draw_steps(settings, (512, 640), seed=0)
    assert "; ".join(map(str, steps)) == (
        "grey; gaussian blur 2.00 px; resized to 160 x 128 (bilinear); gaussian noise sigma 5.0; "
        "JPEG 40; 1 scratch; 9 specks of dust; resized to 640 x 512 (bilinear)"
    )
