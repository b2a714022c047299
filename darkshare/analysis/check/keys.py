"""Rules for lines and keys: what Darknet skips, ignores or does not know."""

from __future__ import annotations

from collections.abc import Iterator

from darkshare.analysis.check.problem import Problem, ReadSection, Rule, Subject, error, note, warning
from darkshare.darknet.cfg import Line
from darkshare.darknet.kinds import ALL_KINDS
from darkshare.darknet.kinds.base import DIALECTS, H, P
from darkshare.darknet.kinds.reading import Key, keys_of

# Keys of [net] that Darknet reads with these policies only (parse_net_options in parser.c).
_POLICIES = {
    "steps": ("steps", "sgdr"),
    "scales": ("steps", "sgdr"),
    "seq_scales": ("steps", "sgdr"),
    "step": ("step", "sigmoid"),
    "scale": ("step",),
    "gamma": ("exp", "sigmoid"),
}


def line_ends(subject: Subject) -> Iterator[Problem]:
    """CRLF: pjreddie's reader keeps the CR as part of names and values."""
    for number, line in numbered(subject):
        if line.text.endswith("\r\n"):
            fatal = subject.dialect == P
            yield (error if fatal else note)(
                number, "CRLF line ends, with which pjreddie's Darknet does not know [net]; convert the file to LF"
            )
            return


def lost_lines(subject: Subject) -> Iterator[Problem]:
    """Lines that are neither comment nor section nor option."""
    for part in subject.parts:
        for number, line in enumerate(part.section.lines[1:], part.section.lineno + 1):
            if line.key or line.is_comment:
                continue
            text = line.text.strip()[:40]
            if line.value:
                yield warning(number, f"'{text}' has no key, so nothing reads it; name the key or remove the line")
            elif "=" in text:
                yield warning(number, f"'{text}' has no value: Darknet takes the default; give one or remove the line")
            else:
                yield warning(number, f"'{text}' is not key=value, so nothing reads it; put # before a comment")


def unknown_keys(subject: Subject) -> Iterator[Problem]:
    """Keys that no fork reads in this kind of section."""
    severity = error if subject.dialect == H else warning
    for part, number, key, known in _options(subject):
        if known is None:
            does = "is an error" if subject.dialect == H else "is ignored"
            text = f"{part.label} has no key '{key[:40]}', which {does} in {subject.dialect}; "
            yield severity(number, text + _cure(key, part))


def _cure(key: str, part: ReadSection) -> str:
    others = [kind.names[0] for kind in ALL_KINDS if key in keys_of(kind)]
    if others:
        return f"it belongs to [{others[0]}]: remove it"
    import difflib

    near = difflib.get_close_matches(key[:40], keys_of(type(part.kind)), n=1) if part.kind else []
    return f"did you mean {near[0]}=?" if near else "remove it or put # before it"


def unused_keys(subject: Subject) -> Iterator[Problem]:
    """Keys that other forks read, but not this one."""
    severity = error if subject.dialect == H else warning
    for part, number, key, known in _options(subject):
        if known is not None and subject.dialect not in known.forks:
            does = "refuses it as unused" if subject.dialect == H else "ignores it"
            forks = " and ".join(fork for fork in DIALECTS if fork in known.forks)
            yield severity(
                number,
                f"{part.label}: only {forks} read{'' if ' ' in forks else 's'} '{key}', "
                f"{subject.dialect} {does}; remove it, or choose --dialect",
            )


def duplicate_keys(subject: Subject) -> Iterator[Problem]:
    """The first of several wins, except in hank-ai, which refuses the file."""
    for part in subject.parts:
        first: dict[str, tuple[int, str]] = {}
        for number, line in enumerate(part.section.lines, part.section.lineno):
            if not line.key:
                continue
            if line.key in first:
                yield _duplicate(subject, number, line.key, line.value, *first[line.key])
            first.setdefault(line.key, (number, line.value))


def _duplicate(subject: Subject, number: int, key: str, value: str, first: int, wins: str) -> Problem:
    if subject.dialect == H:
        return error(number, f"'{key[:40]}' again (first in line {first}), which hank-ai refuses; remove one")
    severity = note if value == wins else warning
    text = f"'{key[:40]}' again: {wins[:40]} of line {first} wins; remove one"
    return severity(number, text + " (hank-ai refuses such files)")


def policy_keys(subject: Subject) -> Iterator[Problem]:
    """Keys of [net] that the chosen policy does not read."""
    policy = subject.net.policy
    net = subject.parts[0].section
    for key, policies in _POLICIES.items():
        if net.get(key) is not None and policy not in policies:
            severity = error if subject.dialect == H else note
            yield severity(
                net.line_of(key),
                f"'{key}' is read with policy={' or '.join(policies)} only, but policy={policy[:40]}; "
                "remove one or correct the other",
            )


def numbered(subject: Subject) -> Iterator[tuple[int, Line]]:
    """Every line of the file with its number."""
    lines = [*subject.cfg.head, *(line for part in subject.parts for line in part.section.lines)]
    yield from enumerate(lines, 1)


def _options(subject: Subject) -> Iterator[tuple[ReadSection, int, str, Key | None]]:
    """Every option of the sections whose kind is known, with the key's declaration if it has one."""
    for part in subject.parts:
        if part.kind is None:
            continue
        known = keys_of(type(part.kind))
        for number, line in enumerate(part.section.lines, part.section.lineno):
            if line.key:
                yield part, number, line.key, known.get(line.key)


RULES: tuple[Rule, ...] = (line_ends, lost_lines, unknown_keys, unused_keys, duplicate_keys, policy_keys)
