"""Degrade Image: its widgets reach the settings that they are named after."""

import sys

import pytest
import torch

from environment import REPOSITORY
from gpen_core.degradation import DEGRADE_PRESETS, DegradeSettings, degrade
from gpen_core.degradation.settings import setting_paths
from gpen_core.errors import DegradeSettingsError


@pytest.fixture(scope="module")
def module(pack):
    return sys.modules[f"{pack.__name__}.nodes.degrade_image"]


@pytest.fixture
def image():
    random = torch.Generator().manual_seed(0)
    return torch.rand(2, 6, 8, 4, generator=random).repeat_interleave(8, 1).repeat_interleave(8, 2)


def run(module, image, preset="custom", strength=1.0, seed=5, same_for_all=False, **changes):
    output = module.GpenDegrade.execute(image, preset, strength, seed, same_for_all, **changes)
    return output.args


def expected(image, settings, **options):
    return degrade(image.movedim(-1, 1), settings, seed=5, **options).movedim(1, -1)


def test_every_widget_changes_a_setting_of_its_own(module):
    paths = [path for path, _ in module.CHANGES.values()]
    assert len(set(paths)) == len(paths)
    assert set(paths) <= set(setting_paths())


@pytest.mark.parametrize("preset", DEGRADE_PRESETS)
@pytest.mark.parametrize("same_for_all", [False, True])
def test_a_preset_is_what_the_core_calls_so(module, image, preset, same_for_all):
    degraded, text = run(
        module, image, preset, 0.75, same_for_all=same_for_all, **dict.fromkeys(module.CHANGES, "")
    )
    settings = DEGRADE_PRESETS[preset]
    options = {"strength": 0.75, "same_for_all": same_for_all}
    assert torch.equal(degraded, expected(image, settings, **options))
    assert torch.equal(degraded[..., 3], image[..., 3])
    assert degraded.is_contiguous()
    assert text


def test_a_widget_that_is_set_stands_in_for_the_preset(module, image):
    degraded, _ = run(module, image, "gfpgan", jpeg="10-20", blur_kinds="plateau 1", noise=" ")
    changes = {"jpeg.quality": "10-20", "blur.kinds": "plateau 1"}
    assert torch.equal(degraded, expected(image, DEGRADE_PRESETS["gfpgan"].changed(changes)))


def test_custom_does_only_what_is_set(module, image):
    unchanged, text = run(module, image)
    assert torch.equal(unchanged, image)
    assert text == "nothing was done"
    degraded, text = run(module, image, jpeg="20")
    settings = DegradeSettings().changed({"jpeg.quality": "20"})
    assert torch.equal(degraded, expected(image, settings))
    assert text == "JPEG 20"


def _shown(value, unchanged):
    if isinstance(value, tuple):
        shown = f"{value[0]:g}" if value[0] == value[1] else f"{value[0]:g}-{value[1]:g}"
    else:
        shown = f"{value:g}"
    return "-" if value == unchanged else shown


def _setting(settings, path):
    stage, name = path.split(".")
    return getattr(getattr(settings, stage), name)


def test_the_help_page_says_what_the_presets_are(module):
    page = (REPOSITORY / "js" / "docs" / "GPEN_Degrade.md").read_text("utf-8")
    lines = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in page.partition("a dash means nothing:")[2].splitlines()
        if line.startswith("|")
    ]
    head, _, *table = lines
    assert head == ["widget", *DEGRADE_PRESETS]
    changed = DEGRADE_PRESETS.values()
    expected_table = [
        [name, *(_shown(_setting(p, path), _setting(DegradeSettings(), path)) for p in changed)]
        for name, (path, _) in module.CHANGES.items()
        if not name.endswith("kinds") and name != "interpolation"
    ]
    assert table == [row for row in expected_table if set(row[1:]) != {"-"}]


def test_an_empty_batch_stays_empty(module, image):
    degraded, _ = run(module, image[:0], "old photo")
    assert degraded.shape == image[:0].shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jpeg": "much"}, "^jpeg: expected a number or a range as in 30-60, got 'much'"),
        ({"blur": "5-2"}, r"^blur: expected \(low, high\)"),
        ({"grey": "2"}, "^grey: expected a probability"),
        ({"noise_kinds": "star 1"}, "^noise_kinds: expected a weight"),
    ],
)
def test_what_cannot_be_read_is_named_as_the_widget_is(module, image, changes, message):
    with pytest.raises(Exception, match=message) as caught:
        run(module, image, **changes)
    assert type(caught.value).__name__ == DegradeSettingsError.__name__  # of the pack's own core


def test_a_cancelled_prompt_ends_before_the_next_image(module, image, monkeypatch):
    import comfy.model_management as mm

    monkeypatch.setattr(mm, "interrupt_processing", True)
    with pytest.raises(mm.InterruptProcessingException):
        run(module, image, "gfpgan")
