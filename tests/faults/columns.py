"""The faults that every command meets, each at many places: the columns of the matrix."""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults.injecting import ALL, ERRORS, NAMES, REMOVALS, Steps, fail, kill, pause
from faults.running import MARK, Bench, Ended, Tree, differing, mount, tree

PAGE = 4096  # bytes, of which the disk in memory gives no parts
LESS = "without what cannot be read"


@dataclass
class Tally:
    """What happened under one fault.

    Attributes:
        outcomes: how often.
        wrong: all that must not be.
        skipped: why it could not be tried here.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    skipped: str = ""


class Trial:
    """One fault for one command.

    Args:
        bench: the command.
        name: of the fault.
        every: whether it is tried at every place; else at some.
    """

    def __init__(self, bench: Bench, name: str, *, every: bool) -> None:
        self.bench, self.every = bench, every
        self.tally = Tally()
        self._random = random.Random(f"{bench.row.name} {name}")

    def picked(self, places: Sequence[int], most: int) -> list[int]:
        """Some of many places, always the same ones."""
        most = -(-most // self.bench.row.cost)
        return sorted(places if self.every or len(places) <= most else self._random.sample(list(places), most))

    def states(self, number: int) -> Sequence[bool]:
        """Whether the command meets nothing that was there before; in turn, or both."""
        return (False, True) if self.every else (bool(number % 2),)

    def run(
        self, place: object, inside: Callable[[], object], *, fresh: bool = False, killed: bool = False,
        between: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        """Run the command with a fault, and judge what is left.

        Args:
            place: where the fault was, for the report.
            inside: makes the fault, in the process.
            fresh: see `states`.
            killed: whether it may end without a word.
            between: ends the fault.
        """
        bench = self.bench
        bench.restore(fresh=fresh)
        old, bench.old = bench.old, {} if fresh else bench.old
        try:
            ended = bench.run(inside)
            between()
            left = bench.recover()
            outcome = LESS if bench.spares(ended.said) else bench.outcome(left)
            self.add(
                place, outcome, bench.wrong(left, ended.said) + unsaid(bench, ended, outcome, killed=killed), ended
            )
        finally:
            bench.old = old

    def add(self, place: object, outcome: str, wrong: Sequence[str], ended: Ended) -> None:
        """Count an outcome."""
        self.tally.outcomes[outcome] += 1
        self.tally.wrong += [f"{place}: {one} (exit code {ended.code}: {ended.said.strip()})" for one in wrong]


def unsaid(bench: Bench, ended: Ended, outcome: str, *, killed: bool = False) -> list[str]:
    """All that is wrong with how a command ended: a result, or exit code 1 and one line."""
    if killed and ended.code in (-signal.SIGKILL, -signal.SIGALRM):
        return []
    if ended.code == 0:
        return [] if outcome in ("new", LESS) else [f"exit code 0, but {outcome}"]
    errors = [line for line in ended.said.splitlines() if line.startswith("Error: ")]
    others = [line for line in ended.said.splitlines() if not line.startswith(("Error: ", "Note: ", "wrote "))]
    known = not set(map(unnumbered, others)) - set(map(unnumbered, bench.says))
    if ended.code == 1 and errors and (outcome == LESS or (len(errors) == 1 and known)):
        return []
    return ["not exit code 1 and one line"]


def unnumbered(line: str) -> str:
    """A line without its numbers, such as times."""
    return re.sub(r"[\d.]+", "", line)


def steps(trial: Trial, kinds: set[str]) -> list[str]:
    """The steps of the undisturbed command."""
    bench = trial.bench
    bench.restore()
    counted = Steps(bench.base, kinds)
    bench.run(counted.watch)
    return counted.seen


def killed(trial: Trial) -> None:
    """Kill it before every step that gives or takes a name, and before others; and behind the last one."""
    seen = steps(trial, ALL)
    naming = [number for number, kind in enumerate(seen, 1) if kind in ("os.rename", "os.link", "os.remove")]
    others = [number for number in range(1, len(seen) + 2) if number not in naming]
    always = [number for number in naming if seen[number - 1] == "os.rename"]
    for number in sorted({*always, *trial.picked(naming, 4), *trial.picked(others, 6)}):
        for fresh in trial.states(number):
            inside = Steps(trial.bench.base, ALL, kill(number)).watch
            trial.run(f"step {number}", inside, fresh=fresh, killed=True)


def killed_any_time(trial: Trial) -> None:
    """Kill it at moments that no step marks, also in the middle of a library."""
    for number in trial.picked(range(100), 4):
        moment = max(1e-6, trial.bench.seconds * number / 100)

        def inside(moment: float = moment) -> None:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, moment)

        for fresh in trial.states(number):
            trial.run(f"{number} %", inside, fresh=fresh, killed=True)


def failing(name: str) -> Callable[[Trial], None]:
    """Refuse a call, once or from then on."""

    def column(trial: Trial) -> None:
        seen = steps(trial, ERRORS[name])
        for number in trial.picked(range(1, len(seen) + 1), 4):
            for stays in (False, True):
                for fresh in trial.states(number):
                    inside = Steps(trial.bench.base, ERRORS[name], fail(name, number, stays=stays)).watch
                    place = f"step {number}, {seen[number - 1]}, {'on' if stays else 'once'}"
                    trial.run(place, inside, fresh=fresh)

    column.__doc__ = f"Answer {name} to a call that can get it, once or from then on."
    return column


def short(trial: Trial) -> None:
    """Let every write take a third of what it is given."""
    trial.run("", Steps(trial.bench.base, short=True).watch)


def limited(trial: Trial) -> None:
    """Limit the size of files."""
    sizes = sorted({len(value) for value in trial.bench.new.values() if isinstance(value, bytes)})
    sizes = sorted({0, 16, *(size - 1 for size in sizes if size), *(size // 2 for size in sizes)})
    for size in trial.picked(sizes, 3):

        def inside(size: int = size) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        for fresh in trial.states(size):
            trial.run(f"{size} bytes", inside, fresh=fresh)


def few_handles(trial: Trial) -> None:
    """Limit the number of open files."""
    for more in trial.picked(range(12), 3):

        def inside(more: int = more) -> None:
            most = len(list(Path("/proc/self/fd").iterdir())) - 1 + more
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

        trial.run(f"{more} files", inside)


def mute(trial: Trial) -> None:
    """Let stdout be full."""

    def inside() -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)

    trial.run("/dev/full", inside)


def full(trial: Trial, folder: Path, most: int) -> None:
    """Leave so many pages of a disk in memory."""
    filler = folder / "filler"
    for pages in trial.picked(range(most + 1), 3):

        def inside(pages: int = pages) -> None:
            found = os.statvfs(folder)
            with open(filler, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, (found.f_bavail - pages) * found.f_bsize)

        for fresh in trial.states(pages):
            trial.run(f"{pages} pages left", inside, fresh=fresh, between=filler.unlink)


def full_disk(trial: Trial) -> None:
    """Fill the disk."""
    pages = [-(-len(value) // PAGE) for value in trial.bench.new.values() if isinstance(value, bytes)]
    full(trial, trial.bench.base, sum(pages) + 2)


def full_scratch(trial: Trial) -> None:
    """Fill the disk of temporary files."""
    full(trial, trial.bench.temporary, 12)


def read_only(trial: Trial) -> None:
    """Let nothing be written into the folder."""
    out = trial.bench.cell / "out"

    def inside() -> None:
        if trial.bench.mounts:
            assert not mount("--bind", out, out) and not mount("-o", "remount,ro,bind", out)  # noqa: PT018 - no test
        else:
            out.chmod(0o555)

    def between() -> None:
        if trial.bench.mounts:
            os.spawnlp(os.P_WAIT, "umount", "umount", out)
        else:
            out.chmod(0o755)

    trial.run("out", inside, between=between)


def aliased(trial: Trial) -> None:
    """Let a file that is written be one that is read: by a link, a hard link, as itself, through a linked folder."""
    bench = trial.bench
    read = [name for name in bench.read() if name in bench.before]
    written = [name for name, value in bench.new.items() if isinstance(value, bytes)]
    ways = list(WAYS)[:2] if bench.row.is_folder else WAYS  # by the others, the folder would be made from itself
    places = [(how, out, own) for how in ways for out in written for own in read]
    for number in trial.picked(range(len(places)), 6):
        how, out, own = places[number]
        bench.restore()
        (bench.cell / out).parent.mkdir(parents=True, exist_ok=True)
        WAYS[how](bench.cell, bench.cell / out, bench.cell / own)
        before = (bench.cell / own).read_bytes()
        ended = bench.run()
        replaced = ended.code == 0 and bench.row.is_folder
        wrong = [] if replaced else unsaid(bench, ended, "")
        left = bench.recover()
        if (bench.cell / own).read_bytes() != before:
            wrong.append(f"{own} is not what it was")
        wrong += [f"{name} is left" for name in left if MARK in name]
        others = differing(bench.inputs(left), bench.inputs(bench.before))
        wrong += [f"{name} is not what it was" for name in others if name != own]
        trial.add(f"{out} is {own}, {how}", "input kept" if replaced else "refused", wrong, ended)


def link(cell: Path, out: Path, own: Path) -> None:
    out.unlink(missing_ok=True)
    out.symlink_to(own)


def hard_link(cell: Path, out: Path, own: Path) -> None:
    out.unlink(missing_ok=True)
    out.hardlink_to(own)


def itself(cell: Path, out: Path, own: Path) -> None:
    own.replace(out)
    own.symlink_to(out)


def linked_folder(cell: Path, out: Path, own: Path) -> None:
    itself(cell, out, own)
    (cell / "out").rename(cell / "real")
    (cell / "out").symlink_to("real")


def dotted(cell: Path, out: Path, own: Path) -> None:
    own.replace(out)
    own.symlink_to(Path(os.path.relpath(cell, own.parent), "in", "..", out.relative_to(cell)))


WAYS: dict[str, Callable[[Path, Path, Path], None]] = {
    "link": link, "hard link": hard_link, "itself": itself, "linked folder": linked_folder, "dots": dotted,
}  # fmt: skip


def two_at_once(trial: Trial) -> None:
    """Hold a run before a step that gives or takes a name, and let another one write the same files meanwhile."""
    bench, kinds = trial.bench, NAMES | REMOVALS
    words = bench.words if bench.row.is_own else [word.replace("in/", "in2/") for word in bench.words]
    seen = steps(trial, kinds)
    with_two(bench)
    bench.run(words=words)
    other = bench.written(tree(bench.cell))
    for number in trial.picked(range(1, len(seen) + 1), 4):
        with_two(bench)
        first, said = bench.start(Steps(bench.cell, kinds, pause(number)).watch)
        _, status = os.waitpid(first, os.WUNTRACED)
        if not os.WIFSTOPPED(status):  # threads took fewer steps this time
            os.close(said)
            continue
        second, also_said = bench.start(words=words)
        wait_for(second, bench.seconds)
        os.kill(first, signal.SIGCONT)
        both = [bench.wait(second, also_said), bench.wait(first, said)]
        judge_two(trial, number, both, other)


def with_two(bench: Bench) -> None:
    bench.restore()
    (bench.cell / "in2").mkdir()
    bench.row.make(bench.cell / "in2", 2)


def wait_for(child: int, seconds: float) -> None:
    """Wait until a process has ended, or so long; it stays to be waited for."""
    end = time.monotonic() + 2 * seconds
    while time.monotonic() < end:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(seconds / 20)


def judge_two(trial: Trial, number: int, both: Sequence[Ended], other: Tree) -> None:
    bench, old = trial.bench, trial.bench.old
    bench.old = other
    try:
        wrong = [one for one in bench.wrong(bench.recover(), "") if not one.endswith("broken")]  # what grows
        for ended in both:
            if ended.code:
                wrong += unsaid(bench, ended, "")
        trial.add(f"step {number}", "one or the other", wrong, both[0])
    finally:
        bench.old = old


COLUMNS: dict[str, Callable[[Trial], None]] = {
    "killed at a step": killed,
    "killed any time": killed_any_time,
    **{name: failing(name) for name in ERRORS},
    "short writes": short,
    "file size limit": limited,
    "few handles": few_handles,
    "full stdout": mute,
    "full disk": full_disk,
    "full TMPDIR": full_scratch,
    "read-only": read_only,
    "output is input": aliased,
    "two at once": two_at_once,
}
MOUNTING = ("full disk", "full TMPDIR")


def tried(bench: Bench, *, every: bool, only: Sequence[str] = ()) -> Iterator[tuple[str, Tally]]:
    """Every fault for one command."""
    for name, column in COLUMNS.items():
        if only and name not in only:
            continue
        trial = Trial(bench, name, every=every)
        if name in MOUNTING and not bench.mounts:
            trial.tally.skipped = "needs the right to mount"
        elif name == "read-only" and not bench.mounts and os.geteuid() == 0:
            trial.tally.skipped = "root may write everywhere"
        else:
            column(trial)
        yield name, trial.tally
