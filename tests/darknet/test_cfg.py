from __future__ import annotations

import os

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import any_bytes, any_text, words

from darkshare._files import stand_in
from darkshare.darknet.cfg import (
    LARGEST_CFG,
    LONGEST_LINE,
    Cfg,
    Section,
    comment_line,
    dumps,
    new_section,
    parse,
    read_cfg,
    require_readable,
    to_bytes,
)
from darkshare.errors import CfgSyntaxError, DarkshareError


@given(any_text)
def test_any_text_survives(text):
    assert dumps(parse(text)) == text


@given(any_bytes)
def test_any_bytes_survive(tmp_path_factory, data):
    assume(not stand_in(data[:100]))  # a web page or a Git LFS pointer, of which hypothesis finds the marks in the code
    path = tmp_path_factory.getbasetemp() / "any.cfg"
    path.write_bytes(data)
    assert to_bytes(read_cfg(path)) == data


@given(any_text)
def test_every_line_is_in_one_section_and_counted(text):
    cfg = parse(text)
    lines = text.split("\n")
    for part in cfg.sections:
        assert lines[part.lineno - 1] == part.lines[0].text.removesuffix("\n")


def only(text: str) -> Section:
    return parse(text).sections[0]


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("filters=8", "filters", "8"),
        ("  fil ters = 1 6\t", "filters", "16"),  # blanks go anywhere, as in Darknet's strip()
        ("filters=8\r", "filters", "8"),
        ("anchors = 10,14,  23,27", "anchors", "10,14,23,27"),
        ("a=b=c", "a", "b=c"),
        ("=v", "", ""),  # Darknet keeps an empty key that nothing reads
        ("pad=", "", ""),  # dropped: the default is used
        ("hello", "", ""),
        ("# filters=9", "", ""),
        ("  ; filters=9", "", ""),
        ("filters=8 # c", "filters", "8#c"),  # no comment to AlexeyAB and pjreddie
        ("\x0cfilters=8", "\x0cfilters", "8"),  # a form feed is not a blank
        ("\u00a0filters=8", "\u00a0filters", "8"),  # neither is a non-breaking space
    ],
)
def test_a_line_is_split_as_darknet_splits_it(line, key, value):
    found = only(f"[net]\n{line}\n").lines[1]
    assert (found.text, found.key) == (line + "\n", key)
    if key:
        assert found.value == value


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("[net]", "net"),
        ("[ convolutional ]", "convolutional"),
        ("  [route]  ", "route"),
        ("[route]\r", "route"),
        ("[convolutional] # c", "convolutional]#c"),  # the whole rest of the line is the name
        ("[Convolutional]", "Convolutional"),
        ("[]", ""),
    ],
)
def test_a_header_is_read_as_darknet_reads_it(header, kind):
    assert only(header).kind == kind


def test_the_first_of_several_wins():
    part = only("[route]\nlayers=1\nlayers=2\n")
    assert part.get("layers") == "1"
    assert part.line_of("layers") == 2
    assert part.line_of("groups") == 1  # the header, where a missing key would stand


def test_what_comes_before_the_first_section_is_kept_apart():
    cfg = parse("# made by hand\n\n[net]\nwidth=8\n")
    assert [line.text for line in cfg.head] == ["# made by hand\n", "\n"]
    assert cfg.sections[0].lineno == 3


@pytest.mark.parametrize("text", ["", "\n", "# c\n", " ; c", "\t\r\n"])
def test_comments_and_empty_lines_are_comments(text):
    assert all(line.is_comment for line in parse(text).head)
    assert not parse("width=8\n").head[0].is_comment


# --- editing


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[net]\nwidth=8\n", "[net]\nwidth=16\n"),
        ("[net]\nwidth = 8\r\nheight=8\r\n", "[net]\nwidth = 16\r\nheight=8\r\n"),
        ("[net]\n  wi dth =\t8 # was 4\n", "[net]\n  wi dth =\t16\n"),
        ("[net]\nwidth=8", "[net]\nwidth=16"),
        ("[net]\nwidth=16 \n", "[net]\nwidth=16 \n"),
        ("[net]\nheight=8\n\n# end\n", "[net]\nheight=8\nwidth=16\n\n# end\n"),
        ("[net]\n", "[net]\nwidth=16\n"),
        ("[net]\nheight=8", "[net]\nheight=8\nwidth=16\n"),
        ("[net]", "[net]\nwidth=16\n"),
        ("[net]\nwidth=8\nwidth=9\n", "[net]\nwidth=16\nwidth=9\n"),
    ],
)
def test_set_touches_one_line(before, after):
    changed = only(before).set(width=16)
    assert dumps(Cfg((), (changed,))) == after
    assert changed.get("width") == "16"


def test_set_to_none_removes_every_copy():
    changed = only("[net]\nwidth=8\nheight=8\nwidth=9\n").set(width=None)
    assert dumps(Cfg((), (changed,))) == "[net]\nheight=8\n"
    assert changed.set(width=None) == changed


def test_a_list_that_means_the_same_stays_as_written():
    part = only("[route]\nlayers=-1,61\n")
    assert part.set(layers="-1, 61") is not part
    assert part.set(layers="-1, 61") == part


@given(any_text, words.filter(lambda word: word[0].isalpha()), words)
def test_set_reads_back_and_leaves_every_other_line(text, key, value):
    part = only("[net]\n" + text) if "[" not in text else only("[net]\nwidth=8\n")
    changed = part.set(**{key: value})
    again = parse(dumps(Cfg((), (changed,)))).sections[0]
    assert again.get(key) == value
    assert again.lines == changed.lines
    at = [i for i, line in enumerate(part.lines) if line.key == key][:1]
    others = [line for i, line in enumerate(part.lines) if i not in at]
    now = list(changed.lines)
    now.remove(next(line for line in now if line.key == key))
    # Where the file ended without a line end, the line before an appended one gets it.
    assert [line.text.rstrip("\n") for line in now] == [line.text.rstrip("\n") for line in others]


@given(st.dictionaries(words.filter(lambda word: word[0].isalpha()), words))
def test_a_new_section_reads_back(values):
    part = new_section("route", **values)
    again = only(dumps(Cfg((), (part,))))
    assert (again.kind, {key: again.get(key) for key in values}) == ("route", values)


def test_a_comment_is_a_comment_everywhere():
    assert comment_line("task text").text == "# task text\n"
    assert comment_line("task text").is_comment


# --- what no fork reads


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("\ufeff[net]\n[conv]\n", ":1", "byte order mark"),
        ("[net]\nwidth=8\n[conv]\nfil\0ters=8\n", ":4", "NUL byte"),
        ("[net]\rwidth=8\r[conv]\r", ":1", "CR alone as line end"),
        ("# c\nwidth=8\n[net]\n[conv]\n", ":2", "option 'width' before any section"),
        ("# c\nhello\n[net]\n[conv]\n", ":2", "'hello' before any section"),
        (f"[net]\n# {'x' * LONGEST_LINE}\n[conv]\n", ":2", "characters: this is not a cfg text"),
        ("", "", "has no [section]"),
        ("just text\n", "", "has no [section]"),
        ("[convolutional]\n[net]\n", ":1", "the first section must be [net]"),
        ("[Network]\n[conv]\n", ":1", "the first section must be [net]"),
        ("\n[net]\nwidth=8\n", ":2", "has no layers"),
        ("[net]\n[convolutional\nfilters=8\n", ":2", "section [convolutional has no ']'"),
        ("[net\n[conv]\n", ":1", "section [net has no ']'"),
    ],
)
def test_what_darknet_cannot_read_is_refused_with_its_line(text, place, message):
    with pytest.raises(CfgSyntaxError) as caught:
        require_readable(parse(text, "a.cfg"))
    assert str(caught.value).startswith(f"a.cfg{place}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text", ["[net]\r\n[conv]\r\n", "[network]\n[conv]\n", "[net]\n[conv]", "; c\n[net]\n[conv]\n"]
)
def test_what_darknet_reads_is_accepted(text):
    require_readable(parse(text))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DarkshareError, match=r"none\.cfg: cannot be read: No such file or directory"):
        read_cfg(tmp_path / "none.cfg")
    with pytest.raises(DarkshareError, match="cannot be read: Is a directory"):
        read_cfg(tmp_path)


def test_a_huge_file_is_no_cfg(tmp_path):
    path = tmp_path / "big.cfg"
    with path.open("wb") as file:
        file.truncate(LARGEST_CFG + 1)
    with pytest.raises(CfgSyntaxError, match=r"big\.cfg: has 1048577 bytes, which is not a Darknet cfg"):
        read_cfg(path)


def test_nothing_is_written_that_would_be_too_large_to_be_read():
    whole = "[net]\n" + "#" * (LARGEST_CFG - 6)
    assert to_bytes(parse(whole)) == whole.encode()
    with pytest.raises(CfgSyntaxError, match="m: would have 1048577 bytes, more than a cfg may have, which is 1048576"):
        to_bytes(parse(whole + "#", "m"))


def test_of_a_key_given_twice_the_first_counts():
    net = parse("[net]\nwidth=8\n# width=1\nheight = 4\nwidth=9\n[route]\nlayers=0\n").sections[0]
    assert net.options == {"width": "8", "height": "4"}
    assert {key: net.get(key) for key in net.options} == net.options


def test_a_pipe_is_refused_before_it_blocks(tmp_path):
    os.mkfifo(tmp_path / "pipe.cfg")
    with pytest.raises(DarkshareError, match=r"pipe\.cfg: cannot be read: not a regular file"):
        read_cfg(tmp_path / "pipe.cfg")
