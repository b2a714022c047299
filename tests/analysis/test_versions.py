"""Versions of weights and cfgs in a real git repository; `git-diff` as git calls it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import network_of, run, seeded_floats, tiny_text, write_model

from darkshare.darknet.weights import Header

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345678\n"
FLOATS = seeded_floats(network_of(tiny_text()), 1)
OTHERS = seeded_floats(network_of(tiny_text()), 2)
VERSION = f"{FLOATS.size:,} floats, version 0.2.5, seen 0"
# Keeps what git gives, whose files are gone when it has ended.
RECORDER = """
number=$(ls kept | wc -l); mkdir kept/$number
for word; do printf '%s\\0' "$word"; done > kept/$number/words
test -f "$2" && cp -- "$2" kept/$number/old
test -f "$5" && cp -- "$5" kept/$number/new
exit 0
"""


def git(folder: Path, *words: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
    done = subprocess.run(command, cwd=folder, env=kept | own, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def repository(tmp_path) -> Path:
    folder = tmp_path / "models"
    (folder / "deep").mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / ".gitattributes").write_text("*.weights diff=darknet\n*.cfg diff=darknet-cfg\n")
    (folder / ".git" / "info" / "exclude").write_text("kept\n")
    (folder / "kept").mkdir()
    write_model(folder / "net", tiny_text(), FLOATS)
    write_model(folder / "deep" / "a b", tiny_text(), OTHERS)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


def driven(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[list[str]]:
    """What `git-diff` prints of each call that git makes for `git diff` with these words."""
    (folder.parent / "record.sh").write_text(RECORDER)
    git(folder, "-c", f"diff.darknet.command=sh {folder.parent / 'record.sh'}", "diff", *words)
    monkeypatch.chdir(folder)
    shown = []
    for call in sorted((folder / "kept").iterdir()):
        given = (call / "words").read_text().split("\0")[:-1]
        for place, name in ((1, "old"), (4, "new")):
            if len(given) > 1 and given[place] != os.devnull:
                given[place] = str(call / name)
        shown.append(run("git-diff", *given, code=0).stdout.splitlines())
        assert max(map(len, shown[-1][:1])) < 80
    return shown


def changed(at: int = -1):
    data = FLOATS.copy()
    data[at] += 1
    return data


def test_changed_weights_give_the_verdict_of_stats(repository, monkeypatch):
    for stem in ("net", "deep/a b"):
        write_model(repository / stem, tiny_text(), changed())
    first, second = driven(repository, monkeypatch)
    assert first[0] == "darkshare git-diff a/deep/a b.weights b/deep/a b.weights"
    assert second[0] == "darkshare git-diff a/net.weights b/net.weights"
    assert first[1].startswith("no layer is bit-identical")
    assert second[1].startswith("bit-identical up to layer ")
    assert len(first) == len(second) == 2
    git(repository, "checkout", "-q", ".")
    write_model(repository / "other", tiny_text(), changed())
    verdict = run("stats", "net.cfg", "net.weights", "other.weights", code=0).stdout.splitlines()[-1]
    assert verdict == f"other: {second[1]}"


def test_a_changed_header_is_said(repository, monkeypatch):
    write_model(repository / "net", tiny_text(), FLOATS, header=Header(seen=640))
    (lines,) = driven(repository, monkeypatch)
    assert lines[1:3] == [f"before: {VERSION}", f"now: {VERSION}".replace("seen 0", "seen 640")]
    assert lines[3] == f"all {len(network_of(tiny_text()).layers)} layers are bit-identical"


def test_weights_that_are_new_gone_or_renamed(repository, monkeypatch):
    (repository / "deep" / "a b.weights").unlink()
    write_model(repository / "later", tiny_text(), -OTHERS)
    git(repository, "mv", "net.cfg", "moved.cfg")
    git(repository, "mv", "net.weights", "moved.weights")
    write_model(repository / "moved", tiny_text(), changed(0))
    git(repository, "add", "-A")
    gone, new, moved = driven(repository, monkeypatch, "--cached", "-M")
    assert gone[1:] == [f"before: {VERSION}", "now: none"]
    assert new[1:] == ["before: none", f"now: {VERSION}"]
    assert moved[0] == "darkshare git-diff a/net.weights b/moved.weights"
    assert "rename from net.weights" in moved
    assert moved[-1].startswith(("no layer is bit-identical", "bit-identical up to"))


def test_weights_of_another_cfg_are_not_compared_layer_by_layer(repository, monkeypatch):
    text = tiny_text(3)
    write_model(repository / "net", text, seeded_floats(network_of(text), 1))
    (lines,) = driven(repository, monkeypatch)
    assert lines[1] == f"before: {VERSION}"
    assert lines[3].startswith("before: made with another net.cfg than the one in the work tree: ")
    assert len(lines) == 4


def test_what_does_not_fit_is_said_of_the_version_that_it_is(repository, monkeypatch):
    (repository / "net.weights").unlink()
    text = tiny_text(3)
    (repository / "net.cfg").write_text(text)
    (lines,) = driven(repository, monkeypatch, "--", "*.weights")
    assert lines[2] == "now: none"
    assert lines[3].startswith("before: made with another net.cfg than the one in the work tree: ")


@pytest.mark.parametrize("broken", [None, "[convolutional]\nfilters=x\n"])
def test_without_a_cfg_floats_are_counted(repository, monkeypatch, broken):
    write_model(repository / "net", tiny_text(), changed())
    (repository / "net.cfg").write_text(broken) if broken else (repository / "net.cfg").unlink()
    (lines,) = driven(repository, monkeypatch, "--", "*.weights")
    why = lines[1]
    assert why.startswith("net.cfg") == (broken is None) or "net.cfg:" in why
    assert lines[2:] == [f"1 of {FLOATS.size:,} floats differ"]


def test_a_pointer_of_git_lfs_is_called_that(repository, monkeypatch):
    (repository / "net.weights").write_bytes(POINTER)
    (lines,) = driven(repository, monkeypatch)
    says = "now: is a Git LFS pointer, not the file itself; get that with: git lfs pull"
    assert lines[1:] == [f"before: {VERSION}", says]


def test_git_shows_what_the_command_prints(repository):
    program = shlex.join([sys.executable, "-m", "darkshare", "git-diff"])
    git(repository, "config", "diff.darknet.command", program)
    git(repository, "config", "diff.darknet-cfg.textconv", program)
    write_model(repository / "net", tiny_text(), changed())
    shown = git(repository, "diff")
    assert shown.splitlines()[0] == "darkshare git-diff a/net.weights b/net.weights"
    write_model(
        repository / "net",
        "# a comment\n" + tiny_text().replace("=", " = ").replace("width = 32", "width = 64"),
        FLOATS,
    )
    cfg = [
        line
        for line in git(repository, "diff", "net.cfg").splitlines()
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    layers = len(network_of(tiny_text()).layers)
    assert [line.partition(",")[0] for line in cfg] == [
        f"-# {layers} layers",
        f"+# {layers} layers",
        "-width=32",
        "+width=64",
    ]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["net.weights"], "* Unmerged path net.weights\n"),
        (["plain.cfg"], "no cfg at all, \u00e4\n"),
        (
            ["x.cfg"],
            "# unknown section [upsmaple]; did you mean [upsample]?\n\n[net]\nchannels=3\nheight=32\nwidth=32\n",
        ),
    ],
)
def test_what_is_not_a_pair_of_weights(tmp_path, monkeypatch, words, shown):
    monkeypatch.chdir(tmp_path)
    Path("plain.cfg").write_text("no cfg at all, \u00e4\n", encoding="utf-8")
    Path("x.cfg").write_text("[net]\nwidth = 32\n# b\nheight=32\nchannels=3\n[upsmaple]\nstride=2\n")
    assert run("git-diff", *words, code=0).stdout.startswith(shown)


@pytest.mark.parametrize("name", ["-v.weights", "--help.weights", "-lead.weights", "a\nb.weights"])
def test_names_that_look_like_options_are_names(repository, monkeypatch, name):
    for data in (FLOATS, changed()):
        write_model(repository / name.removesuffix(".weights"), tiny_text(), data)
        if data is FLOATS:
            git(repository, "add", "-A")
    (lines,) = driven(repository, monkeypatch)
    assert lines[-1].startswith("bit-identical up to layer ")
    cfg = name.replace(".weights", ".cfg")
    assert run("git-diff", "--dialect", "alexeyab", cfg, code=0).stdout.startswith("# 13 layers, 32x32x3, ")


def test_words_that_git_does_not_give_are_refused():
    assert "git gives 1, 7 or 9 words behind the command, not 2" in run("git-diff", "a", "b", code=2).stderr
    words = ["net.weights", "net.weights", "00", "100644", os.devnull, ".", "."]
    assert "No such option '--format'" in run("git-diff", "--format", "json", *words, code=2).stderr
