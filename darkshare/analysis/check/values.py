"""Rules for values: names that Darknet does not know, lists with stray items, texts read as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from darkshare.analysis.check.keys import numbered
from darkshare.analysis.check.problem import Problem, ReadSection, Rule, Subject, error, warning
from darkshare.darknet.activations import KNOWN, meant_activation
from darkshare.darknet.cfg import Line
from darkshare.darknet.kinds.base import A, H, P
from darkshare.darknet.kinds.reading import Key, as_read, keys_of, list_items

_ACTIVATIONS = {fork: " ".join(names) for fork, names in KNOWN.items()}
_IOU = "mse iou giou diou ciou"
_NMS = "default greedynms diounms"

# The words that each fork knows for a key, and what AlexeyAB and pjreddie do with another word.
_WORDS: dict[str, tuple[dict[str, str], str]] = {
    "activation": (_ACTIVATIONS, "silently becomes relu"),
    "lstm_activation": ({A: _ACTIVATIONS[A]}, "silently becomes relu"),
    "policy": (
        dict.fromkeys((A, H), "random poly constant step exp sigmoid steps sgdr")
        | {P: "random poly constant step exp sigmoid steps"},
        "becomes constant",
    ),
    "nms_kind": ({A: f"{_NMS} cornersnms", H: f"{_NMS} cornersnms"}, "becomes default"),
    "iou_loss": (dict.fromkeys((A, H), _IOU), "becomes iou"),
    "iou_thresh_kind": (dict.fromkeys((A, H), _IOU), "becomes iou"),
}
_COMPUTED = ("activation", "lstm_activation")  # these change what a network computes, the others training or NMS


def words(subject: Subject) -> Iterator[Problem]:
    """Activations, policies and the like that the fork does not know."""
    for part, number, line, _ in _read_options(subject):
        if line.key not in _WORDS:
            continue
        known, otherwise = _WORDS[line.key]
        value = as_read(line.value, subject.dialect)
        if value in known.get(subject.dialect, value).split():
            continue
        fatal = subject.dialect == H
        severity = error if fatal or line.key in _COMPUTED else warning
        does = "is an error" if fatal else otherwise
        yield severity(
            number,
            f"{part.label}: {line.key}={value[:40]} is not known to {subject.dialect} and {does}; "
            + _word_cure(line.key, value, known[subject.dialect]),
        )


def _word_cure(key: str, value: str, known: str) -> str:
    bare = re.split("[#;]", value)[0]
    if bare != value and bare in known.split():
        return "Darknet knows no comments behind a value: put it on a line of its own"
    meant = meant_activation(value) if key in _COMPUTED else ""
    if not meant or meant == value:
        return f"use one of {known.replace(' ', ', ')}"
    other = "" if meant in known.split() else f", which {A} and {H} know"
    return f"{meant} is meant{other}" + ("; OpenCV 4's importer takes it for that" if value == "silu" else "")


def stray_items(subject: Subject) -> Iterator[Problem]:
    """List items that are not numbers: a comma too many, or commas in a comment behind the list."""
    for part, number, line, known in _read_options(subject):
        if not isinstance(known.declared.default, tuple) or subject.dialect in known.declared.metadata["first_only"]:
            continue
        items = list_items(as_read(line.value, subject.dialect), subject.dialect, known.declared.metadata["hash_ends"])
        stray = [n for n, item in enumerate(items) if not re.match(r"[+-]?\.?\d", item)]
        if stray:
            severity = error if known.is_refs or line.key == "mask" else warning
            means = "layer 0" if known.is_refs else "0"
            yield severity(
                number,
                f"{part.label}: item {stray[0] + 1} of {line.key}={line.value[:40]} is not a number, so Darknet "
                f"reads {means}; {_item_cure(line.value)}",
            )


def _item_cure(value: str) -> str:
    if "#" in value or ";" in value:
        return "it counts the commas of the comment too: put the comment on a line of its own"
    return "remove the comma or give the number"


def numbers(subject: Subject) -> Iterator[Problem]:
    """Scalars that C's atoi and atof read otherwise than they look; hank-ai's stricter test is in `plain_numbers`."""
    for part, number, line, known in _read_options(subject):
        default = known.declared.default
        if isinstance(default, tuple | str) or subject.dialect == H:
            continue
        whole = r"[+-]?\d+" if default is None or isinstance(default, int) else _FLOAT
        value = re.split("[#;]", line.value)[0]
        if re.fullmatch(whole, value):
            continue
        reads = _as_read_by_c(value, whole)
        what = "an integer" if whole != _FLOAT else "a number"
        yield warning(
            number,
            f"{part.label}: {line.key}={line.value[:40]} is not {what}; Darknet reads {reads}: write that instead",
        )


_FLOAT = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"


def _as_read_by_c(value: str, pattern: str) -> str:
    found = re.match(pattern, value)
    return found[0] if found else "0"


def plain_numbers(subject: Subject) -> Iterator[Problem]:
    """hank-ai takes only digits, dots and minus signs for a number (CfgLine in darknet_cfg.cpp)."""
    if subject.dialect != H:
        return
    for part, number, line, known in _read_options(subject):
        written = _hank_option(line)
        if written is None or isinstance(known.declared.default, tuple | str):
            continue
        if not re.fullmatch(r"[-.\d]+", written[1]):
            yield error(
                number,
                f"{part.label}: {line.key}={written[1][:40]} is not a plain number, which hank-ai refuses; "
                "write it with digits, a dot and a minus sign only",
            )


def hank_lines(subject: Subject) -> Iterator[Problem]:
    """Lines that hank-ai reads otherwise: blanks inside keys and names, options behind a semicolon."""
    if subject.dialect != H:
        return
    for number, line in numbered(subject):
        bare, text = line.text.strip(), line.text.strip()[:40]
        if line.key and _hank_option(line) is None:
            yield error(number, f"hank-ai skips '{text}' without a word, for its key has a blank; remove the blank")
        elif bare.startswith(";") and _hank_option(line):
            yield error(number, f"'{text}' is not a comment for hank-ai but an unknown key; start it with #")
        elif re.match(r"\[.*[ \t].*\]", bare):
            yield error(number, f"hank-ai does not know '{text}' because of the blank; remove it")


def _hank_option(line: Line) -> tuple[str, str] | None:
    """(key, value) as hank-ai's regular expression finds them."""
    found = re.match(r"[ \t]*([^#= \t]+)[ \t]*=[ \t]*([^#]+)", line.text.strip())
    return (found[1], found[2].strip()) if found else None


def _read_options(subject: Subject) -> Iterator[tuple[ReadSection, int, Line, Key]]:
    """The options that the dialect reads: known keys, the first of several."""
    for part in subject.parts:
        if part.kind is None:
            continue
        known, seen = keys_of(type(part.kind)), set()
        for number, line in enumerate(part.section.lines, part.section.lineno):
            found = known.get(line.key)
            if found is None or line.key in seen or subject.dialect not in found.forks:
                continue
            seen.add(line.key)
            yield part, number, line, found


RULES: tuple[Rule, ...] = (words, stray_items, numbers, plain_numbers, hank_lines)
