"""The charts as pictures: well-formed, the same every time, and silent about what is withheld."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import pytest

from xp_pipeline.report import charts, theme
from xp_pipeline_tests.report import examples

DOCUMENTS = (examples.healthy, examples.blocked, examples.interim, examples.single)
WASHES = ("paper", "good-wash", "bad-wash", "caution-wash", "neutral-wash")


@pytest.mark.parametrize("example", DOCUMENTS)
def test_the_picture_is_well_formed_and_asks_for_nothing(example: object) -> None:
    svg = charts.forest_svg(example())  # type: ignore[operator]
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert set(re.findall(r"https?://[^\"' ]+", svg)) == {"http://www.w3.org/2000/svg"}
    assert "var(" not in svg
    assert "nan" not in svg


def test_equal_documents_give_equal_bytes() -> None:
    assert charts.forest_svg(examples.healthy()) == charts.forest_svg(examples.healthy())


def test_a_withheld_picture_gives_the_reason_instead() -> None:
    svg = charts.forest_svg(examples.blocked())
    assert "Estimates are withheld" in svg
    assert "not the designed split" in svg
    assert "circle" not in svg


def test_without_an_estimate_the_picture_says_so() -> None:
    row = examples.row("results", metric="conversion", metric_type="mean", role="primary", arm="one_page")
    document = examples.healthy(results=[row | {"baseline": "control", "status": "insufficient_data"}])
    svg = charts.forest_svg(document)
    assert "There is no estimate to draw" in svg
    assert "Too few units" in svg


def test_names_are_escaped_and_shortened() -> None:
    name = '<script>"&' + "x" * 400 + "\x07"
    rows = [r | {"arm": name, "metric": name} for r in examples.healthy_results()[:1]]
    svg = charts.forest_svg(examples.healthy(results=rows))
    texts = [e.text or "" for e in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert any(text.startswith('<script>"&xxx') and text.endswith("…") for text in texts)
    assert max(map(len, texts)) <= 120


def test_a_margin_is_a_dashed_line_before_a_shaded_zone() -> None:
    panel = examples.healthy().main.forest.panels[0]
    row = next(r for r in panel.rows if r.metric == "refund_rate")
    drawn = charts.row_svg(panel, row)
    assert 'class="harm"' in drawn
    assert 'class="margin"' in drawn
    assert f'aria-label="{row.alternative}"' in drawn


def test_a_bar_stays_within_its_cell() -> None:
    assert 'width="100.00%"' in charts.bar_svg(7.0)
    assert 'width="0.00%"' in charts.bar_svg(-1.0)
    assert 'x="0.00%" y="2" width="50.00%"' in charts.deviation_svg(-9.0, limit=1.0, flagged=True)


def test_png_comes_with_the_extra() -> None:
    pytest.importorskip("vl_convert")
    png = charts.forest_png(examples.single())
    assert png is not None
    assert png.startswith(b"\x89PNG\r\n\x1a\n")


def test_without_the_extra_there_is_no_png(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert charts.forest_png(examples.single()) is None


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK])
def test_text_can_be_read_on_every_ground(palette: dict[str, str]) -> None:
    for text in ("ink", "muted", "good", "bad", "caution", "neutral"):
        for ground in WASHES:
            light, dark = sorted((luminance(palette[text]), luminance(palette[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def test_both_palettes_name_the_same_colours_and_sheets_use_only_those() -> None:
    used = set(re.findall(r"var\(--([a-z-]+)\)", theme.sheet("page.css") + theme.sheet("chart.css")))
    assert set(theme.LIGHT) == set(theme.DARK)
    assert used <= set(theme.LIGHT)
