"""The words on signs and the colours of what stands in a street, of which chance takes one."""

from __future__ import annotations

import re

from things import Colour

WORDS = re.findall(
    r"\w+",
    """Bakery Books Cafe Luna Tea Flowers Garden Noodles Pizza Corner Market Hotel Park Music Shoes Coffee Fresh
Fish Green Night Owl Bikes Radio Old Town Bar Cinema Paper Ink Optics Wool Vinyl Lemon Museum Toys Apollo Station
Central Line City Tram Barber Studio Sushi Salon Pharmacy Dental Bread Butter Cheese Wine Juice Open Sale Gallery
North South Harbour Mill River Bridge""",
)
LETTERS = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def colours(codes: str) -> list[Colour]:
    """Colours, blue first, of codes like e07a5f, red first."""
    return [(int(code[4:], 16), int(code[2:4], 16), int(code[:2], 16)) for code in codes.split()]


SKIES = colours("a9d6e5 f6d6ad c9d6df b8e0d2 8ec5e8 f4c7c3 d5e3f0")
WALLS = colours(
    "e8a87c d9795d f2cc8f 81b29a a3b18a b7b7a4 cb997e ddbea9 8d99ae c38d9e e5989b 9fb4c7 d4a373 f1e3d3 7f9c96"
)
BOLD = colours(
    "264653 2a9d8f e9c46a f4a261 e76f51 1d3557 457b9d e63946 6d597a 355070 3d405b 588157 bc6c25 7b2d26 f1faee"
)
PAINTS = colours("c1121f 1d4e89 f2b705 f7f7f2 2b2d42 3a7d44 d95d39 7d8597 6a4c93 0f8b8d")
PALE = colours("ffffff fff3d6 fde8e0 1b1b22")
SKINS = colours("f1c9a5 d8a47f a97458 6f4a36")
HAIRS = colours("2b2118 5a3a22 a8743c d9b36c 3b3b3b")
GREENS = colours("588157 6a994e 40916c 7fb069")
