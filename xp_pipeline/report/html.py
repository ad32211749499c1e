"""The report as one HTML page: no script, no request, readable offline, in the dark, on paper and on a telephone."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xp_pipeline.report import charts, theme, words
from xp_pipeline.report.daily_chart import daily_chart_svg
from xp_pipeline.report.differences import CAUTION as DIFFERENCES_CAUTION
from xp_pipeline.report.document import ReportDocument
from xp_pipeline.report.format import DASH
from xp_pipeline.report.health import Check
from xp_pipeline.report.looks_chart import chart_svg
from xp_pipeline.report.planned_curve import curve_svg
from xp_pipeline.report.read_out import CAUTION as READ_OUT_CAUTION
from xp_pipeline.report.svg import printable


def render(document: ReportDocument) -> str:
    """The page. Equal documents give equal bytes; every text of the document is escaped."""
    page = _environment().get_template("report.html").render(document=document, title=document.title)
    return printable(page)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("xp_pipeline.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals.update(
        charts=charts,
        curve_svg=curve_svg,
        looks_chart_svg=chart_svg,
        daily_chart_svg=daily_chart_svg,
        differences_caution=DIFFERENCES_CAUTION,
        read_out_caution=READ_OUT_CAUTION,
        dash=DASH,
        deviation_limit=deviation_limit,
        marks=words.MARKS,
        health_names=words.HEALTH_NAMES,
        health_tones=words.HEALTH_TONES,
        light=Markup(theme.variables(theme.LIGHT)),
        dark=Markup(theme.variables(theme.DARK)),
        sheet=lambda name: Markup(theme.sheet(name)),
    )
    return environment


def deviation_limit(checks: tuple[Check, ...]) -> float:
    """The deviation that fills a bar: the largest among some checks, so that their bars compare."""
    found = [abs(arm.deviation.value) for check in checks for arm in check.counts if arm.deviation.value]
    return max(found, default=1.0)
