"""Boxes and lines as SVG text."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from minicnn.autograd.watching import Call
from minicnn.visualise._boxes import TIMES, Box
from minicnn.visualise._layering import Arrangement, Point, arrange

FONT = "Inter, 'Segoe UI', Roboto, Helvetica, Arial, 'DejaVu Sans', sans-serif"
INK, FAINT, LINE, PAPER, FRAME = "#1e293b", "#64748b", "#94a3b8", "#ffffff", "#cbd5e1"
MARGIN, HEAD = 32.0, 64.0  # around everything; for the title
PAD, GUTTER = 11.0, 14.0  # beside the text in a box; between two texts on one line
BIG, SMALL = 12.5, 10.5  # sizes of letters
ROW = 15.5  # from one line of text to the next
NARROW, WIDE = 148.0, 320.0  # the least and the most that a box with several lines is wide
GAP = (30.0, 40.0)

# What a box is about -> fill, and border
COLOURS = {
    "convolution": ("#dbeafe", "#60a5fa"),
    "dense": ("#dcfce7", "#4ade80"),
    "pooling": ("#ccfbf1", "#2dd4bf"),
    "normalization": ("#ede9fe", "#a78bfa"),
    "activation": ("#fef3c7", "#fbbf24"),
    "joining": ("#ffe4e6", "#fb7185"),
    "resize": ("#cffafe", "#22d3ee"),
    "random": ("#fce7f3", "#f472b6"),
    "shape": ("#f1f5f9", "#94a3b8"),
    "other": ("#f8fafc", "#94a3b8"),
    "end": ("#ffffff", "#475569"),
}


def render(
    title: str, subtitle: str, boxes: Sequence[Box], edges: Sequence[tuple[int, int]]
) -> str:
    """Return the SVG text of a drawing."""
    wide = max((_width(b) for b in boxes if not b.is_small), default=NARROW)
    sizes = [(_width(b) if b.is_small else wide, _height(b)) for b in boxes]
    depth = max((len(b.frames) for b in boxes), default=0)
    plan = arrange(sizes, edges, (GAP[0], GAP[1] + 16.0 * max(depth - 1, 0)))
    head = max(_text_width(title, 17, bold=True), _text_width(subtitle, SMALL))
    width = max(plan.width, head) + 2 * MARGIN
    height = plan.height + HEAD + 2 * MARGIN
    left, top = (width - plan.width) / 2, HEAD + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" font-family="{escape(FONT)}" role="img">',
        f"<title>{escape(title)}</title>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto-start-reverse">'
        f'<path d="M0.5 0.8 L7.2 4 L0.5 7.2 z" fill="{LINE}"/></marker></defs>',
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
        _text(width / 2, MARGIN + 14, title, 17, INK, "middle", bold=True),
        _text(width / 2, MARGIN + 34, subtitle, SMALL + 0.5, FAINT, "middle"),
        f'<g transform="translate({_n(left)} {_n(top)})">',
        *_frames(boxes, sizes, plan),
        *(_line(plan.lines[edge]) for edge in edges),
        *(_drawn(box, at, size) for box, at, size in zip(boxes, plan.centres, sizes, strict=True)),
        "</g>",
        "</svg>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _drawn(box: Box, centre: Point, size: tuple[float, float]) -> str:
    """Return one box with its texts."""
    (x, y), (width, height) = centre, size
    left, top, right = x - width / 2, y - height / 2, x + width / 2
    fill, border = COLOURS[box.family]
    radius = height / 2 if box.family == "end" else 6
    lines = [
        f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(width)}" height="{_n(height)}" '
        f'rx="{_n(radius)}" fill="{fill}" stroke="{border}"/>'
    ]
    y = top + PAD + BIG * 0.72
    room = width - 2 * PAD
    if box.is_small:
        y = centre[1] + BIG * 0.36
        lines.append(_heading(box, left + PAD, y, room - _beside(box.shape)))
        lines.append(_text(right - PAD, y, box.shape, SMALL, FAINT, "end"))
    else:
        lines.append(_heading(box, left + PAD, y, room - _beside(box.count)))
        lines.append(_text(right - PAD, y, box.count, SMALL, FAINT, "end"))
        if box.parts:
            y += ROW
            lines.append(_text(left + PAD, y, _cut(box.parts, SMALL, room), SMALL, INK))
        y += ROW
        place = _cut(box.place, SMALL, room - _beside(box.shape))
        lines.append(_text(left + PAD, y, place, SMALL, FAINT))
        lines.append(_text(right - PAD, y, box.shape, SMALL, INK, "end"))
    tip = f"<title>{escape(box.tip)}</title>" if box.tip else ""
    return "<g>" + tip + "".join(lines) + "</g>"


def _heading(box: Box, x: float, y: float, room: float) -> str:
    title = _cut(box.title, BIG, room, bold=True)
    note = _cut(box.note, SMALL, room - _text_width(title, BIG, bold=True) - 5)
    more = (
        f'<tspan dx="5" font-size="{SMALL}" font-weight="400">{escape(note)}</tspan>'
        if note
        else ""
    )
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{BIG}" font-weight="600" fill="{INK}">'
        f"{escape(title)}{more}</text>"
    )


def _text(
    x: float, y: float, text: str, size: float, colour: str, anchor: str = "", bold: bool = False
) -> str:
    if not text:
        return ""
    more = f' text-anchor="{anchor}"' if anchor else ""
    more += ' font-weight="600"' if bold else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" fill="{colour}"{more}>'
        f"{escape(text)}</text>"
    )


def _line(points: Sequence[Point]) -> str:
    """Return a line from box to box: curves between the ranks, straight where it passes one."""
    (x, y), *rest = points
    path = [f"M{_n(x)} {_n(y)}"]
    for i, (x2, y2) in enumerate(rest):
        if i % 2 == 1 or abs(x2 - x) < 0.75:  # through a rank, or straight down
            path.append(f"L{_n(x2)} {_n(y2)}")
        else:
            bend = (y2 - y) * 0.55
            path.append(f"C{_n(x)} {_n(y + bend)} {_n(x2)} {_n(y2 - bend)} {_n(x2)} {_n(y2)}")
        x, y = x2, y2
    return (
        f'<path d="{" ".join(path)}" fill="none" stroke="{LINE}" stroke-width="1.4" '
        'marker-end="url(#arrow)"/>'
    )


Rect = tuple[float, float, float, float]  # left, top, right, bottom


def _frames(
    boxes: Sequence[Box], sizes: Sequence[tuple[float, float]], plan: Arrangement
) -> list[str]:
    """Return a frame around each module's boxes, where no other box would be in it."""
    corners = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(plan.centres, sizes, strict=True)
    ]
    drawn: dict[Call, Rect] = {}
    for call, inside in sorted(_members(boxes).items(), key=lambda item: len(item[1])):
        inner = [drawn[c] for i in inside for c in boxes[i].frames if c in drawn]
        frame = _around([corners[i] for i in inside], inner, _lanes(plan, inside, corners))
        others = [c for i, c in enumerate(corners) if i not in inside]
        free = not any(_meet(frame, c) for c in others)
        if free and not any(_meet(frame, f) for f in drawn.values() if f not in inner):
            drawn[call] = frame
    found = []
    for call, (left, top, right, bottom) in list(drawn.items())[::-1]:  # the largest behind
        name = _cut(call.name, SMALL - 1, (right - left) / 2 - 8)
        found.append(
            f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(right - left)}" '
            f'height="{_n(bottom - top)}" rx="9" fill="#f8fafc" stroke="{FRAME}" '
            'stroke-dasharray="4 3"/>' + _text(left + 8, top + 11, name, SMALL - 1, FAINT)
        )
    return found


def _members(boxes: Sequence[Box]) -> dict[Call, list[int]]:
    """Return the modules that hold several boxes, but not all, and which those are."""
    members: dict[Call, list[int]] = {}
    for i, box in enumerate(boxes):
        for call in box.frames:
            members.setdefault(call, []).append(i)
    many = sum(box.family != "end" for box in boxes)
    return {call: inside for call, inside in members.items() if 2 <= len(inside) < many}


def _lanes(plan: Arrangement, inside: list[int], corners: Sequence[Rect]) -> list[Rect]:
    """Return where lines to these boxes run beside them."""
    top, bottom = min(corners[i][1] for i in inside), max(corners[i][3] for i in inside)
    return [
        (x, y, x, y)
        for (_, target), line in plan.lines.items()
        if target in inside
        for x, y in line[1:-1]
        if top <= y <= bottom
    ]


def _around(boxes: Sequence[Rect], frames: Sequence[Rect], lanes: Sequence[Rect]) -> Rect:
    """Return a frame around boxes and frames, with room for its name at the top."""
    apart = [(a, 10.0) for a in (*boxes, *lanes)] + [(a, 6.0) for a in frames]
    return (
        min(a[0] - edge for a, edge in apart),
        min(a[1] - edge - 9 for a, edge in apart),
        max(a[2] + edge for a, edge in apart),
        max(a[3] + edge for a, edge in apart),
    )


def _meet(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _width(box: Box) -> float:
    head = _text_width(box.title, BIG, bold=True)
    head += 5 + _text_width(box.note, SMALL) if box.note else 0
    if box.is_small:
        return min(head + _beside(box.shape) + 2 * PAD, WIDE)
    foot = _text_width(box.place, SMALL) + _beside(box.shape)
    widest = max(head + _beside(box.count), foot, _text_width(box.parts, SMALL)) + 2 * PAD
    return min(max(widest, NARROW), WIDE)


def _beside(text: str) -> float:
    """Return the room that a text at the right takes from the one at the left."""
    return _text_width(text, SMALL) + GUTTER if text else 0.0


def _height(box: Box) -> float:
    return 28.0 if box.is_small else 2 * PAD + BIG * 0.8 + ROW * (2 if box.parts else 1)


# Widths of letters in ems, those of DejaVu Sans, which is a wide one: others leave some room
_WIDTHS = {
    **dict.fromkeys("ijl'|", 0.3),
    **dict.fromkeys("tfrI.,:;()[]/ ", 0.4),
    **dict.fromkeys("mwMW@%+<>=" + TIMES + "\u2026", 0.92),
}


def _text_width(text: str, size: float, bold: bool = False) -> float:
    """Return about how wide a text is, rather too wide than too narrow."""
    ems = sum(_WIDTHS.get(c, 0.75 if c.isupper() else 0.64) for c in text)
    return ems * size * (1.12 if bold else 1.0)


def _cut(text: str, size: float, room: float, bold: bool = False) -> str:
    """Shorten a text to the room there is."""
    if _text_width(text, size, bold) <= room + 0.1:  # it was made to fit: nearly equal
        return text
    while text and _text_width(text + "…", size, bold) > room:
        text = text[:-1]
    return text + "…" if text else ""


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
