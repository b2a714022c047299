"""The cfg text that all three forks read alike."""

from __future__ import annotations

import pytest
from conftest import network_of, tiny_text, zoo_cfgs, zoo_path

from darkshare.darknet.cfg import dumps, parse, read_cfg
from darkshare.darknet.network import resolve
from darkshare.darknet.portable import list_text, plain_cfg
from darkshare.errors import BadValue

HEAD = "[net]\nwidth=8\nheight=8\nchannels=1\n\n"


def plain(body: str, dialect: str = "alexeyab") -> str:
    return dumps(plain_cfg(parse(HEAD + body), dialect)).removeprefix(HEAD)


def test_plain_text_stays_as_it_is():
    text = tiny_text()
    assert dumps(plain_cfg(parse(text), "alexeyab")) == text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[convolutional]\r\nfilters=8\r\n", "[convolutional]\nfilters=8\n"),
        ("[ conv ]\n fil ters = 1 6\n", "[conv]\nfilters=16\n"),
        ("[conv]\nfilters = 8\n", "[conv]\nfilters = 8\n"),
        ("[conv]\nfilters=8 # eight\n", "[conv]\nfilters=8\n"),
        ("[conv]\nfilters=8\nfilters=9\n", "[conv]\nfilters=8\n# filters=9  (given twice)\n"),
        ("[conv]\nfiltres=9\n", "[conv]\n# filtres=9  (not read by Darknet)\n"),
        ("[conv]\nfilters=+8\n", "[conv]\nfilters=8\n"),
        ("[conv]\nlearning_rate=1e-3\n", "[conv]\nlearning_rate=0.001\n"),
        ("[conv]\n; old\n", "[conv]\n# old\n"),
        ("[conv]\n# größer\n", "[conv]\n# gr\\xf6\\xdfer\n"),
        ("[conv]\npad=\nhello\n", "[conv]\n# pad=\n# hello\n"),
        ("[conv]\n[conv]\n[route]\nlayers=-1,\n", "[conv]\n[conv]\n[route]\nlayers=-1,0\n"),
        ("[conv]\n[conv]\n[route]\nlayers=-1, 0\n", "[conv]\n[conv]\n[route]\nlayers=-1, 0\n"),
        ("[conv]\nfilters=8", "[conv]\nfilters=8\n"),
    ],
)
def test_what_is_not_plain_is_rewritten(written, expected):
    assert plain(written) == expected


def test_a_comment_behind_a_name_is_refused():
    with pytest.raises(BadValue, match="read the comment as part of the name"):
        plain("[conv]\nactivation=leaky # steep\n")


def test_hank_ai_knows_such_comments_but_the_others_do_not():
    with pytest.raises(BadValue):
        plain("[conv]\nactivation=leaky # steep\n", "hank-ai")


def test_numbers_have_no_exponent():
    assert list_text((1e-05, 0.5, 3, 1e20)) == "0.00001,0.5,3,100000000000000000000"


@pytest.mark.zoo
def test_public_cfgs_keep_their_meaning():
    zoo_path("zoo", "alexeyab")
    for path in zoo_cfgs("alexeyab"):
        cfg = read_cfg(path)
        try:
            rewritten = plain_cfg(cfg, "alexeyab")
        except BadValue as error:
            assert "comment" in error.message, path  # noqa: PT017  (a cfg that the forks read differently is refused)
            continue
        before, after = resolve(cfg), resolve(rewritten)
        assert [layer.kind for layer in before.layers] == [layer.kind for layer in after.layers], path
        assert [layer.sources for layer in before.layers] == [layer.sources for layer in after.layers], path
        assert dumps(rewritten).isascii(), path
        assert plain_cfg(rewritten, "alexeyab") == rewritten, path


def test_the_result_is_a_fixed_point():
    text = parse(HEAD + "[conv]\r\nfilters = 1 6 ; x\r\nx=1\r\n")
    once = plain_cfg(text, "alexeyab")
    assert plain_cfg(once, "alexeyab") == once
    assert network_of(dumps(once)).layers[0].kind.filters == 16
