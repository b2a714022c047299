"""Draw a street with all that stands in it, by chance: houses, shops, a road, and the boxes of three tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import things
from choices import BOLD, GREENS, HAIRS, LETTERS, PAINTS, PALE, SKIES, SKINS, WALLS, WORDS
from things import FONTS, HEIGHT, MARKS, WIDTH, Box, Colour, Picture, block, disc, fill, inside, scale, shade

SHOP, PAVEMENT, ROAD = 160, 262, 302  # where, from the top, they begin
CLASSES = {"street": ("car", "bus", "person", "lamp"), "marks": MARKS, "text": ("text",)}
TRIES = 8  # to find room


@dataclass
class Street:
    """A street in the making: the picture, and the boxes of each task, with their classes."""

    rng: np.random.Generator
    image: Picture
    gibberish: float
    seen: dict[str, list[tuple[int, Box]]] = field(default_factory=lambda: {task: [] for task in CLASSES})

    def one(self, of: list[Colour]) -> Colour:
        """One of those colours."""
        return of[int(self.rng.integers(len(of)))]

    def between(self, least: float, most: float) -> float:
        """A number drawn evenly."""
        return float(self.rng.uniform(least, most))

    def contrast(self, ground: Colour) -> Colour:
        """A colour that can be read on that ground: pale, dark or bold."""
        return self.one([one for one in [*PALE, *BOLD] if abs(luminance(one) - luminance(ground)) > 95])

    def note(self, task: str, class_id: int, box: Box) -> None:
        """Keep a box, cut at the picture's edges, unless less than half of it is inside."""
        left, top, right, bottom = box
        cut = max(left, 0.0), max(top, 0.0), min(right, WIDTH), min(bottom, HEIGHT)
        if area(cut) > 0.5 * area(box):
            self.seen[task].append((class_id, cut))


def luminance(colour: Colour) -> float:
    """From 0 for black to 255 for white."""
    return float(np.dot(colour, (0.114, 0.587, 0.299)))


def area(box: Box) -> float:
    """In pixels."""
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def hidden(box: Box, behind: Box) -> float:
    """The share of a box that lies within another."""
    shared = (max(box[0], behind[0]), max(box[1], behind[1]), min(box[2], behind[2]), min(box[3], behind[3]))
    return area(shared) / area(box) if shared[0] < shared[2] and shared[1] < shared[3] else 0


def covered(box: Box, others: list[Box]) -> float:
    """The largest share of a box, or of another, that both have in common."""
    return max((max(hidden(box, other), hidden(other, box)) for other in others), default=0)


def words(rng: np.random.Generator, gibberish: float) -> str:
    """One to three words, a share of them letters by chance, some in capitals."""
    count = int(rng.choice((1, 2, 3), p=(0.4, 0.4, 0.2)))
    if rng.random() < gibberish:
        line = " ".join("".join(rng.choice(LETTERS, rng.integers(3, 8))) for _ in range(count))
    else:
        line = (" & " if rng.random() < 0.2 else " ").join(rng.choice(WORDS, count, replace=False))
    return line.upper() if rng.random() < 0.35 else line


def sign(street: Street, box: Box, ground: Colour, with_mark: bool, lines: int = 1) -> None:
    """A mark and lines of text within a panel, whose ground is drawn already."""
    rng, ink = street.rng, street.contrast(ground)
    left, top, right, bottom = box
    tall = bottom - top
    if with_mark:
        side = min(tall * street.between(0.8, 0.92), 64)
        at_end = rng.random() < 0.3 and lines
        x = right - side * 0.7 if at_end else left + side * 0.7
        kind = int(rng.integers(len(MARKS)))
        at = (x, (top + bottom) / 2, side)
        street.note("marks", kind, things.mark(street.image, kind, at, street.contrast(ground), ground))
        left, right = (left, right - side * 1.25) if at_end else (left + side * 1.25, right)
    for line in range(lines):
        row = tall / lines
        for _ in range(TRIES):
            mask, high = (
                things.text_mask(words(rng, street.gibberish), int(rng.choice(FONTS))),
                row * street.between(0.5, 0.72),
            )
            wide = high * mask.shape[1] / mask.shape[0]
            room = right - left - wide - 8
            if room > 0:
                x = left + 4 + room * float(rng.choice((0.5, street.between(0, 1))))
                y = top + line * row + (row - high) / 2
                things.lay(street.image, mask, (x, y, x + wide, y + high), ink)
                street.note("text", 0, (x, y, x + wide, y + high))
                break


def sky(street: Street) -> None:
    """A colour that pales towards the ground, with clouds."""
    top, image = street.one(SKIES), street.image
    pale = np.linspace(0, 0.75, round(SHOP * scale(image)))[:, None]
    image[: len(pale)] = np.round(np.array(top) * (1 - pale) + 250 * pale)[:, None]
    for _ in range(street.rng.integers(0, 4)):
        x, y, size = street.between(0, WIDTH), street.between(12, 70), street.between(8, 17)
        for dx, share in ((-1.3, 0.7), (0, 1), (1.4, 0.75)):
            disc(image, x + dx * size, y - (share - 0.7) * size, share * size, shade(top, 1.7))


def windows(street: Street, box: Box, floors: int, glass: Colour, trim: Colour) -> None:
    """Rows of windows, each with a sill; now and then one of them gives way to a mark on the wall."""
    left, top, right, bottom = box
    columns = max(2, round((right - left) / street.between(30, 42)))
    wide, tall = (right - left) / columns, (bottom - top) / floors
    bare = int(street.rng.integers(columns)) if street.rng.random() < 0.3 else -1
    for row in range(floors):
        for column in range(columns):
            x, y = left + (column + 0.26) * wide, top + (row + 0.24) * tall
            if column == bare and row >= floors - 2:
                continue
            pane = (x, y, x + wide * 0.48, y + tall * 0.56)
            block(street.image, (pane[0] - 2, pane[1] - 2, pane[2] + 2, pane[3] + 2), trim)
            block(street.image, pane, shade(glass, street.between(0.8, 1.2)))
            block(street.image, (pane[0] - 3, pane[3] + 1, pane[2] + 3, pane[3] + 4), shade(trim, 0.85))
    if bare >= 0:
        rows = min(floors, 2)
        x, y = left + (bare + 0.5) * wide, bottom - rows * tall * 0.48
        blade(street, x, y, min(wide * 1.2, rows * tall * 0.92))


def blade(street: Street, x: float, y: float, side: float) -> None:
    """A mark on a plate, round or square."""
    ground, kind = street.one(BOLD), int(street.rng.integers(len(MARKS)))
    if street.rng.random() < 0.5:
        disc(street.image, x, y, side / 2, ground)
    else:
        block(street.image, (x - side / 2, y - side / 2, x + side / 2, y + side / 2), ground)
    size = side * street.between(0.64, 0.78)
    street.note("marks", kind, things.mark(street.image, kind, (x, y, size), street.contrast(ground), ground))


def roof(street: Street, left: float, right: float, top: float, wall: Colour) -> None:
    """A cornice, a gable or a slope; on a cornice there may be a board with a mark and text."""
    image, kind, tile = street.image, street.rng.integers(3), shade(street.one(BOLD[-8:]), 0.9)
    if kind == 0:
        fill(image, [(left - 2, top), ((left + right) / 2, top - 30), (right + 2, top)], tile)
    elif kind == 1:
        fill(image, [(left - 3, top), (left + 10, top - 22), (right - 10, top - 22), (right + 3, top)], tile)
    else:
        block(image, (left - 3, top - 7, right + 3, top), shade(wall, 0.7))
        if top > 70 and street.rng.random() < 0.6:
            wide, tall = (right - left) * street.between(0.75, 0.95), street.between(34, 52)
            x, ground = (left + right - wide) / 2, street.one(BOLD)
            for post in (0.15, 0.85):
                block(image, (x + wide * post - 2, top - 20, x + wide * post + 2, top - 6), (60, 55, 50))
            board = (x, top - 14 - tall, x + wide, top - 14)
            block(image, board, ground)
            sign(street, board, ground, street.rng.random() < 0.65, int(street.rng.integers(1, 3)))


def shop(street: Street, left: float, right: float, wall: Colour) -> None:
    """A board with a name, an awning now and then, a wide window and a door."""
    image, rng, ground = street.image, street.rng, street.one(BOLD)
    block(image, (left, SHOP, right, PAVEMENT), shade(wall, 0.62))
    board = (left + 4, SHOP + 2, right - 4, SHOP + street.between(38, 46))
    block(image, board, ground)
    sign(street, board, ground, rng.random() < 0.45)
    door = street.between(24, 30)
    on_left = rng.random() < 0.5
    x = left + 10 if on_left else right - 10 - door
    block(image, (x, board[3] + 12, x + door, PAVEMENT), shade(street.one(BOLD), 0.9))
    block(image, (x + 5, board[3] + 18, x + door - 5, PAVEMENT - 22), (214, 222, 226))
    pane = (left + door + 18, board[3] + 12, right - 10, PAVEMENT - 12)
    pane = pane if on_left else (left + 10, pane[1], right - door - 18, pane[3])
    block(image, pane, shade((206, 198, 178), street.between(0.75, 1.3)))
    fill(image, inside(pane, [(0.2, 0), (0.38, 0), (0.18, 1), (0, 1)]), (226, 222, 210))
    if rng.random() < 0.6:
        stripe, pale = street.one(BOLD), (240, 244, 246)
        count = max(4, round((pane[2] - pane[0]) / 12))
        for i in range(count):
            x1, x2 = (pane[0] - 4 + (pane[2] - pane[0] + 8) * j / count for j in (i, i + 1))
            corners = inside((x1, board[3] + 4, x2, board[3] + 20), [(0, 0), (1, 0), (0.9, 1), (0.1, 1)])
            fill(image, corners, stripe if i % 2 else pale)


def houses(street: Street) -> None:
    """A closed row of them, each with a shop below."""
    block(street.image, (0, SHOP - 20, WIDTH, PAVEMENT), street.one(GREENS))
    left = -street.between(0, 80)
    while left < WIDTH:
        wide, floors = street.between(104, 190), int(street.rng.integers(1, 4))
        right, top = left + wide, SHOP - 4 - floors * street.between(34, 42)
        wall, trim = street.one(WALLS), street.one([(245, 248, 250), (225, 232, 238), (90, 80, 75)])
        roof(street, left, right, top, wall)
        block(street.image, (left, top, right, PAVEMENT), wall)
        glass = street.one([(170, 150, 120), (200, 180, 150), (140, 110, 85), (150, 215, 245)])
        windows(street, (left + 4, top + 2, right - 4, SHOP - 2), floors, glass, trim)
        shop(street, left, right, wall)
        left = right + (0 if street.rng.random() < 0.8 else 14)


def ground(street: Street) -> None:
    """The pavement with its slabs, the kerb, and the road with a broken line."""
    image, grey = street.image, street.between(185, 215)
    block(image, (0, PAVEMENT, WIDTH, ROAD), (round(grey - 6), round(grey), round(grey + 3)))
    for x in range(-20, WIDTH, 46):
        fill(image, [(x + 20, PAVEMENT), (x + 21, PAVEMENT), (x + 1, ROAD), (x, ROAD)], (170, 176, 180))
    block(image, (0, ROAD - 5, WIDTH, ROAD), (150, 156, 160))
    dark = street.between(80, 112)
    block(image, (0, ROAD, WIDTH, HEIGHT), (round(dark + 4), round(dark), round(dark)))
    for x in range(int(street.between(-60, 0)), WIDTH, 64):
        block(image, (x, 342, x + 34, 346), (205, 215, 220))


def place(street: Street) -> None:
    """Vehicles, people, lamps and trees, where there is room, drawn from the far ones to the near ones."""
    rng, taken = street.rng, [box for task in ("marks", "text") for _, box in street.seen[task]]
    waiting: list[tuple[float, Callable[[], None]]] = []
    standing: list[Box] = []
    wanted = rng.integers((0, 1, 0, 1, 0), (3, 5, 4, 8, 3)).tolist()
    for kind, most in zip(("bus", "car", "lamp", "person", "tree"), wanted, strict=True):
        count = 0
        for _ in range(most * TRIES):
            box = room_for(street, kind)
            hides = covered(box, taken) if kind in ("tree", "lamp", "person") else 0
            if count < most and covered(box, standing) < 0.3 and hides < 0.2:
                count += 1
                standing.append(box)
                waiting.append((box[3], adding(street, kind, box)))
    for _, add in sorted(waiting, key=lambda one: one[0]):
        add()


def room_for(street: Street, kind: str) -> Box:
    """A box that such a thing may have, somewhere."""
    near = street.rng.random() < 0.5
    if kind == "bus":
        wide = street.between(220, 290) * (1.15 if near else 1)
        tall, feet = wide * street.between(0.4, 0.44), street.between(366, 378) if near else street.between(318, 330)
    elif kind == "car":
        wide = street.between(96, 140) * (1.3 if near else 1)
        tall, feet = wide * street.between(0.38, 0.44), street.between(362, 380) if near else street.between(316, 332)
    elif kind == "lamp":
        wide, feet = street.between(17, 23), street.between(276, 294)
        tall = wide * street.between(6.4, 7.6)
    elif kind == "person":
        tall, feet = street.between(60, 92), street.between(274, 310)
        wide = tall * street.between(0.3, 0.38)
    else:
        tall, feet = street.between(90, 130), street.between(268, 276)
        wide = tall * 0.64
    left = street.between(-wide * 0.3, WIDTH - wide * 0.7)
    return left, feet - tall, left + wide, feet


def adding(street: Street, kind: str, box: Box) -> Callable[[], None]:
    """What draws such a thing, and keeps its box, once its turn comes."""
    rng, image = street.rng, street.image
    flipped = bool(rng.random() < 0.5)

    def add() -> None:
        if kind == "tree":
            things.tree(image, (box[0] + box[2]) / 2, box[3], box[3] - box[1], street.one(GREENS))
            return
        for task in ("marks", "text"):
            street.seen[task] = [one for one in street.seen[task] if hidden(one[1], box) < 0.35]
        street.note("street", CLASSES["street"].index(kind), box)
        if kind == "bus":
            paint = street.one(PAINTS)
            sign(street, things.bus(image, box, paint, flipped), paint, rng.random() < 0.6)
        elif kind == "car":
            things.car(image, box, street.one(PAINTS), flipped)
        elif kind == "lamp":
            things.lamp(image, box)
        else:
            coat, legs, step = street.one(BOLD), shade(street.one(BOLD[-7:]), 0.8), street.between(0.15, 0.75)
            things.person(image, box, (coat, legs, street.one(SKINS), street.one(HAIRS)), step)

    return add


def draw(rng: np.random.Generator, width: int = WIDTH, gibberish: float = 0.35) -> Street:
    """A whole street, as wide as given in pixels; texts and marks that something hides are not among its boxes.

    Args:
        rng: of all that is by chance.
        width: in pixels.
        gibberish: the share of lines of text that are letters by chance, so that a network learns no words by heart.
    """
    street = Street(rng, np.zeros((width * HEIGHT // WIDTH, width, 3), np.uint8), gibberish)
    sky(street)
    houses(street)
    ground(street)
    place(street)
    return street
