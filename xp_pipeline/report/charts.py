"""The charts, as SVG written here: the same bytes on every machine, in the page's own colours, light and dark.

A chart library would draw them as well, but a page must come out without one, follow the reader's colour
scheme and keep its type at reading size on a telephone. Positions are percentages of the plot's width,
so one drawing serves any width.
"""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from xp_pipeline.report import theme
from xp_pipeline.report.axis import Axis
from xp_pipeline.report.document import ReportDocument
from xp_pipeline.report.forest import Forest, ForestRow, Mark, Panel
from xp_pipeline.report.svg import printable, share_of_width, shortened, tag

ROW_HEIGHT = 26
OTHER_HEIGHT = 10
WIDTH = 960
MARGIN = 24
LABEL_WIDTH = 250
VALUE_WIDTH = 250
_PLOT_X = MARGIN + LABEL_WIDTH
_PLOT_WIDTH = WIDTH - 2 * MARGIN - LABEL_WIDTH - VALUE_WIDTH


def forest_svg(document: ReportDocument) -> str:
    """The forest plot as a picture of its own; of a withheld experiment, a picture that says so."""
    if document.withheld:
        lines = [check.message for check in document.health.blockers]
        return _picture(document, "Estimates are withheld", _lines(lines), 30 * max(1, len(lines)))
    forest = document.main.forest
    if not forest.panels:
        return _picture(document, "There is no estimate to draw", _lines(forest.undrawn), 30 * len(forest.undrawn))
    drawn, height = _panels(forest)
    return _picture(document, forest.interval_name[:1].upper() + forest.interval_name[1:], drawn, height)


def forest_png(document: ReportDocument, *, scale: float = 1.5) -> bytes | None:
    """The same picture as PNG, ``scale`` pixels a unit; None without the ``report`` extra."""
    try:
        import vl_convert
    except ImportError:
        return None
    png: bytes = vl_convert.svg_to_png(forest_svg(document), scale=scale)
    return png


def row_height(row: ForestRow) -> int:
    """Height of a row: the deciding estimate, and less for each beside it."""
    return ROW_HEIGHT + OTHER_HEIGHT * (len(row.marks) - 1)


def row_svg(panel: Panel, row: ForestRow) -> Markup:
    """The plot of one row, as wide as its container."""
    return _frame(_row(panel.axis, row), height=row_height(row), label=printable(row.alternative))


def axis_svg(panel: Panel) -> Markup:
    """The axis of a panel, as wide as its container."""
    return _frame(_axis(panel.axis), height=22)


def bar_svg(length: float, *, kept: bool = True) -> Markup:
    """A horizontal bar, as a share of its container's width; hollow for what left."""
    width = share_of_width(max(0.0, min(1.0, length)))
    bar = tag("rect", class_="bar kept" if kept else "bar left", x=0, y=1, width=width, height=8)
    return _frame([bar], height=10)


def deviation_svg(deviation: float, *, limit: float, flagged: bool) -> Markup:
    """A bar left or right of the middle: how far observed lies from expected; ``limit`` fills a half."""
    middle, end = 0.5, 0.5 + 0.5 * max(-1.0, min(1.0, deviation / limit))
    bar = tag(
        "rect",
        class_="deviation flagged" if flagged else "deviation",
        x=share_of_width(min(middle, end)),
        y=2,
        width=share_of_width(abs(end - middle)),
        height=10,
    )
    return _frame([tag("line", class_="zero", x1="50%", x2="50%", y1=0, y2=14), bar], height=14)


def _frame(children: Iterable[Markup], *, height: int, label: str | None = None) -> Markup:
    said = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    return tag("svg", *children, class_="plot", width="100%", height=height, **said)


def _row(axis: Axis, row: ForestRow) -> list[Markup]:
    height = row_height(row)
    drawn = [_vertical("grid", tick.position, height) for tick in axis.ticks]
    if row.margin_low is not None:
        drawn += _margin(0.0, row.margin_low, row.margin_low, height)
    if row.margin_high is not None:
        drawn += _margin(row.margin_high, 1.0 - row.margin_high, row.margin_high, height)
    drawn.append(_vertical("zero", axis.zero, height))
    for place, mark in enumerate(row.marks):
        y = ROW_HEIGHT // 2 if place == 0 else ROW_HEIGHT - 5 + OTHER_HEIGHT * place - OTHER_HEIGHT // 2
        drawn += _mark(mark, y)
    return drawn


def _margin(start: float, width: float, margin: float, height: int) -> list[Markup]:
    """The zone that the test of a margin must exclude, and its border."""
    zone = tag("rect", class_="harm", x=share_of_width(start), y=0, width=share_of_width(width), height=height)
    return [zone, _vertical("margin", margin, height)]


def _mark(mark: Mark, y: int) -> list[Markup]:
    kind = f"{'main' if mark.main else 'other'} {mark.tone}"
    low, high = share_of_width(mark.low), share_of_width(mark.high)
    drawn = [tag("line", class_=f"reach {kind}", x1=low, x2=high, y1=y, y2=y)]
    drawn += [_arrow(low, y, kind, left=True)] if mark.low_open else []
    drawn += [_arrow(high, y, kind, left=False)] if mark.high_open else []
    if mark.point is None:
        return drawn
    point = share_of_width(mark.point)
    if not mark.main:
        return [*drawn, tag("line", class_=f"tick {kind}", x1=point, x2=point, y1=y - 3, y2=y + 3)]
    filled = "filled" if mark.significant else "hollow"
    return [*drawn, tag("circle", class_=f"point {filled} {kind}", cx=point, cy=y, r=5)]


def _arrow(x: str, y: int, kind: str, *, left: bool) -> Markup:
    path = "M-4 0 L4 -5 L4 5 Z" if left else "M4 0 L-4 -5 L-4 5 Z"
    return tag("svg", tag("path", class_=f"arrow {kind}", d=path), x=x, y=y, overflow="visible")


def _vertical(kind: str, position: float, height: int) -> Markup:
    x = share_of_width(position)
    return tag("line", class_=kind, x1=x, x2=x, y1=0, y2=height)


def _axis(axis: Axis) -> list[Markup]:
    drawn = [_vertical("grid", tick.position, 4) for tick in axis.ticks]
    labels = [
        tag("text", tick.text, class_="label", x=share_of_width(tick.position), y=17, text_anchor="middle")
        for tick in axis.ticks
    ]
    return drawn + labels


def _panels(forest: Forest) -> tuple[list[Markup], int]:
    drawn: list[Markup] = []
    y = 0
    for panel in forest.panels:
        drawn.append(tag("text", shortened(panel.title, 110), class_="panel", x=MARGIN, y=y + 18))
        y += 30
        for row in panel.rows:
            if row.opens_metric:
                drawn.append(tag("text", shortened(row.metric, 60), class_="metric", x=MARGIN, y=y + 17))
                drawn.append(_inset([_vertical("grid", t.position, 24) for t in panel.axis.ticks], y, 24))
                drawn.append(_inset([_vertical("zero", panel.axis.zero, 24)], y, 24))
                y += 24
            drawn += _labelled_row(panel, row, y)
            y += row_height(row)
        drawn.append(_inset(_axis(panel.axis), y, 22))
        y += 40
    return drawn, y


def _labelled_row(panel: Panel, row: ForestRow, y: int) -> list[Markup]:
    middle, value_x = y + ROW_HEIGHT // 2 + 4, _PLOT_X + _PLOT_WIDTH + 20
    return [
        tag("text", shortened(row.label, 36), class_="arm", x=MARGIN + 10, y=middle),
        _inset(_row(panel.axis, row), y, row_height(row)),
        tag("text", row.value, class_="value", x=value_x + 70, y=middle, text_anchor="end"),
        tag("text", row.interval, class_="label", x=value_x + 80, y=middle),
    ]


def _inset(children: list[Markup], y: int, height: int) -> Markup:
    return tag("svg", *children, x=_PLOT_X, y=y, width=_PLOT_WIDTH, height=height, overflow="visible")


def _lines(texts: Iterable[str]) -> list[Markup]:
    return [
        tag("text", shortened(text, 120), class_="arm", x=MARGIN, y=22 + 30 * place) for place, text in enumerate(texts)
    ]


def _picture(document: ReportDocument, subtitle: str, children: list[Markup], height: int) -> str:
    title = document.title
    head = f"{title.experiment}, as of {title.as_of}" if title.as_of else title.experiment
    total = height + 84
    picture = tag(
        "svg",
        tag("title", f"Forest plot of {head}"),
        tag("style", Markup(theme.fixed(theme.sheet("chart.css"), theme.LIGHT))),
        tag("rect", class_="paper", width="100%", height="100%"),
        tag("text", shortened(head, 90), class_="heading", x=MARGIN, y=34),
        tag("text", subtitle, class_="label", x=MARGIN, y=54),
        tag("svg", *children, x=0, y=66, width=WIDTH, height=height, overflow="visible"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {total}",
        width=WIDTH,
        height=total,
        font_family="Helvetica Neue, Helvetica, Arial, sans-serif",
    )
    return printable(str(picture))
