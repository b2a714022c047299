"""Names as pixels: which font writes which letter, and what happens where none does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, features

from darkshare.errors import DarkshareWarning
from darkshare.inference import lettering
from darkshare.inference.lettering import DEJAVU, OPENCV, line_height, spelled, written

joining = pytest.mark.skipif(not features.check("raqm"), reason="this Pillow has no Raqm, which joins letters")
built_in = pytest.mark.skipif(not hasattr(cv2, "FontFace"), reason="OpenCV 4 has no font for Chinese")


@pytest.fixture
def alone(monkeypatch):
    """A machine without fonts of its own, with OpenCV 4."""
    monkeypatch.setattr(lettering, "_candidates", lambda: iter([DEJAVU]))
    spelled.cache_clear()
    yield
    spelled.cache_clear()


def test_latin_greek_and_cyrillic_are_there(alone):
    names = ("person", "Größe", "λόγος", "лицо", "x y", "\udcfe\u202e")
    assert spelled(names) == tuple(((DEJAVU, text),) for text in (*names[:-1], r"\udcfe\u202e"))


@joining
def test_urdu_is_joined_and_goes_from_right_to_left(alone):
    word = "نمبر"
    (run,) = spelled((word,))
    whole = written(run, 40)
    font = lettering._font(DEJAVU, 40)
    apart = sum(font.getlength(letter) for letter in word)
    assert whole.shape[1] < 0.9 * apart  # joined letters are narrower
    image = Image.new("L", (whole.shape[1], whole.shape[0]))
    place = (0, font.getmetrics()[0])
    ImageDraw.Draw(image).text(place, word, 255, font, anchor="ls", direction="rtl")
    np.testing.assert_array_equal(whole, np.asarray(image))


@pytest.mark.parametrize("name", ["گاڑی", "עברית", "e\N{COMBINING ACUTE ACCENT}"])
def test_without_raqm_what_it_takes_is_not_written_wrongly(alone, monkeypatch, name):
    monkeypatch.setattr(lettering, "_joins", lambda: False)
    with pytest.warns(DarkshareWarning, match=r"labels say class 1 for .*it takes a Pillow with Raqm"):
        assert spelled(("car", name)) == (((DEJAVU, "car"),), ((DEJAVU, "class 1"),))


def test_a_letter_without_a_shape_is_said_once(alone, recwarn):
    names = ("\N{AUTOMOBILE} car", "bus", "\N{BUS}\N{AUTOMOBILE}")
    for _ in range(2):
        assert [run[0][1] for run in spelled(names)] == ["class 0", "bus", "class 2"]
    (warning,) = recwarn
    assert str(warning.message) == (
        "labels say class 0 for \N{AUTOMOBILE} car (and so for 1 more): no font here can write "
        "\N{AUTOMOBILE}\N{BUS}; install a font that has them: Noto has nearly all"
    )


def test_faces_are_drawn(alone):
    assert spelled(("\N{GRINNING FACE}\N{VARIATION SELECTOR-16} cat",)) == (((DEJAVU, "\N{GRINNING FACE} cat"),),)


@built_in
def test_chinese_comes_from_opencv(monkeypatch):
    monkeypatch.setattr(lettering, "_candidates", lambda: iter([DEJAVU, OPENCV]))
    spelled.cache_clear()
    (runs,) = spelled(("2 汽车?",))
    assert runs == ((DEJAVU, "2 "), (OPENCV, "汽车"), (DEJAVU, "?"))
    mask = written(runs, 20)
    assert mask.shape[0] == line_height(20)
    assert mask[:, -30:].any()
    spelled.cache_clear()


def test_a_font_of_the_system_helps_and_a_broken_one_does_not_harm(monkeypatch, tmp_path):
    broken = tmp_path / "a.ttf"
    broken.write_bytes(b"not a font")
    bold = str(lettering._font(DEJAVU, 20).path).replace("Sans.ttf", "Sans-Bold.ttf")
    monkeypatch.setattr(lettering, "_candidates", lambda: iter([str(broken), bold]))
    assert lettering._fonts_of("aß車") == {"a": bold, "ß": bold}


def test_an_empty_name_is_its_number(alone):
    assert spelled(("", "car")) == (((DEJAVU, "class 0"),), ((DEJAVU, "car"),))


def test_all_text_is_as_high_as_a_line():
    for text in ("Ag", "گاڑی"):
        assert written(((DEJAVU, text),), 30).shape[0] == line_height(30)
