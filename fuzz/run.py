"""Fuzz what reads the files of strangers: any bytes give a result or one DarkshareError, and nothing else.

    python fuzz/run.py [TARGET ...] [--minutes 5 | --runs N] [--jobs 2]
    python fuzz/run.py TARGET --input FILE

With Atheris (pip install atheris) mutations are guided by the branches that they reach; without it, by the messages
that they get. What is found is written into a folder, each with the command that shows it again, and so is the
corpus, from which the next run goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from importlib.util import find_spec
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from attack import Judge
    from targets import Target

HERE = Path(__file__).parent
ENGINES = ("atheris", "own")
ENDLESS = 10**12  # executions
MOST_RESTARTS = 20  # of an engine that an input ended
LONGEST_REPLAY = 60  # seconds, in which lines are counted
MEGABYTES = 2000  # of a process


def main(words: Sequence[str] | None = None) -> int:
    """Run; the exit status is 1 if there are finds."""
    arguments = _arguments(words)
    if arguments.child:
        return child(arguments)
    from targets import TARGETS

    if unknown := set(arguments.targets) - set(TARGETS):
        print(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    if arguments.input:
        return again(arguments)
    chosen = {name: TARGETS[name].share for name in TARGETS if name in (arguments.targets or TARGETS)}
    seconds = 60 * arguments.minutes * arguments.jobs / sum(chosen.values())
    with ThreadPoolExecutor(arguments.jobs) as pool:
        jobs = [pool.submit(fuzzed, arguments, name, share * seconds) for name, share in chosen.items()]
        rows = [job.result() for job in jobs]
    total = {"target": "all", **dict.fromkeys(list(rows[0])[1:])}
    total |= {key: sum(row[key] for row in rows) for key in ("executions", "minutes", "corpus", "finds")}
    total["per second"] = _per(total["executions"], 60 * total["minutes"])
    _print([*rows, total])
    return int(bool(total["finds"]))


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    head, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=f"{head}\n{rest}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them by default")
    parser.add_argument("--minutes", type=float, default=5, help="in all, shared among the targets")
    parser.add_argument("--runs", type=int, default=ENDLESS, help="executions of each target at most")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[not find_spec("atheris")])
    parser.add_argument("--seed", type=int, default=1, help="of what is random")
    parser.add_argument("--input", type=Path, metavar="FILE", help="run this input alone, and show what it does")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "finds", help="for finds and corpora")
    parser.add_argument("--child", choices=("fuzz", "lines"), help=argparse.SUPPRESS)
    found = parser.parse_args(words)
    if found.input and len(found.targets) != 1:
        parser.error("--input is for one target: name it")
    return found


def again(arguments: argparse.Namespace) -> int:
    """Run one input, and show the traceback if it is a find."""
    from attack import attack, prepared
    from targets import TARGETS

    name = arguments.targets[0]
    with prepared(name, TARGETS[name], arguments.output / name) as judge:
        attack(judge, TARGETS[name], [arguments.input.read_bytes()], seconds=0, runs=0, seed=0)
        for find in judge.finds.values():
            print(find.text)
        print(*(judge.finds or [f"{arguments.input}: nothing is wrong"]), sep="\n")
    return int(bool(judge.finds))


# A target in a process of its own, that a crash or a hang may end


def fuzzed(arguments: argparse.Namespace, name: str, seconds: float) -> dict[str, Any]:
    """Fuzz one target; gives its row of the table."""
    folder = arguments.output / name
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    before, lines = _finds(folder), folder / "lines"
    lines.unlink(missing_ok=True)
    executions, edges = 0, None
    begun = time.monotonic()
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        for restart in range(MOST_RESTARTS):
            left = seconds - (time.monotonic() - begun)
            words = ["--minutes", left / 60, "--runs", arguments.runs - executions, "--seed", arguments.seed + restart]
            ended_by_itself, log = _child("fuzz", arguments, name, words, scratch)
            executions += _last(r"(?:number_of_executed_units: +|executed |^#)(\d+)", log)
            edges = _last(r"\bcov: (\d+)", log) or None
            if ended_by_itself or left < 1 or executions >= arguments.runs:
                break
        spent = time.monotonic() - begun
        _child("lines", arguments, name, [], scratch)
    return {
        "target": name,
        "executions": executions,
        "per second": _per(executions, spent),
        "minutes": spent / 60,
        "edges": edges,
        "lines": lines.read_text() if lines.exists() else None,
        "corpus": len(list((folder / "corpus").iterdir())),
        "finds": len(_finds(folder) - before),
    }


def _finds(folder: Path) -> set[Path]:
    return {path for path in folder.glob("find-*") if path.suffix != ".txt"}


def _child(
    role: str, arguments: argparse.Namespace, name: str, words: Sequence[object], scratch: str
) -> tuple[bool, str]:
    """Run a child; the files of its target lie in memory, in a folder that goes whatever becomes of the child.

    Returns:
        Whether no input ended it, and what it printed.
    """
    folder = arguments.output / name
    command = [sys.executable, __file__, name, "--child", role, "--engine", arguments.engine, "-o", arguments.output]
    place = {**os.environ, "TMPDIR": scratch}
    with open(folder / f"{role}.log", "wb") as log:
        done = subprocess.run([*map(str, [*command, *words])], stdout=log, stderr=log, check=False, env=place)
    told = (folder / f"{role}.log").read_text(errors="replace")
    if done.returncode == 1:
        raise RuntimeError(f"{folder / role}.log: this is a fault of the program that fuzzes\n{told[-2000:]}")
    if done.returncode < 0 and -done.returncode not in (signal.SIGINT, signal.SIGTERM):  # which somebody sent
        _keep_crash(folder, f"signal {-done.returncode}\n{told[-2000:]}")
    for kind in ("crash", "timeout", "oom", "leak", "slow-unit"):  # as libFuzzer calls them
        for found in folder.glob(f"{kind}-*"):
            found.rename(folder / f"find-{found.name}")
    return done.returncode == 0, told


def _keep_crash(folder: Path, text: str) -> None:
    """Keep the input that a process worked on when it ended."""
    current = (folder / "current").read_bytes()
    data = current[4 : 4 + int.from_bytes(current[:4], "little")]
    path = folder / f"find-crash-{hashlib.sha256(data).hexdigest()[:8]}"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(f"python fuzz/run.py {folder.name} --input {shlex.quote(str(path))}\n{text}")


def _last(pattern: str, text: str) -> int:
    found = re.findall(pattern, text, re.MULTILINE)
    return int(found[-1]) if found else 0


def _per(executions: int, seconds: float) -> int:
    return round(executions / seconds) if seconds else 0


def child(arguments: argparse.Namespace) -> int:
    """Fuzz one target in this process, or count the lines that its corpus reaches."""
    guided = arguments.engine == "atheris" and arguments.child == "fuzz"
    (name,) = arguments.targets
    folder, kept = arguments.output / name, arguments.output / name / "corpus"
    with ExitStack() as stack:
        with _instrumented() if guided else nullcontext():
            from attack import attack, covered, prepared
            from targets import TARGETS

            target = TARGETS[name]
            seeds = target.seeds()
            judge = stack.enter_context(prepared(name, target, folder))
            attack(judge, target, list(seeds), seconds=0, runs=0, seed=0)  # what is imported late is imported now
        inputs = [*seeds, *(path.read_bytes() for path in sorted(kept.iterdir()))]
        if arguments.child == "lines":
            (folder / "lines").write_text("{} of {}".format(*covered(judge, target, inputs, LONGEST_REPLAY)))
        elif guided:
            for data in seeds:
                _store(kept, data)
            _guide(judge, target, arguments, kept)
        else:
            attack(judge, target, inputs, seconds=60 * arguments.minutes, runs=arguments.runs, seed=arguments.seed)
            for data in inputs:
                _store(kept, data)
            print(f"executed {judge.executions}")
    return 0


def _store(folder: Path, data: bytes) -> None:
    (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def _instrumented() -> AbstractContextManager[Any]:
    import atheris

    return atheris.instrument_imports(include=["darkshare"])


def _guide(judge: Judge, target: Target, arguments: argparse.Namespace, corpus: Path) -> NoReturn:
    """Let libFuzzer choose the inputs; it ends the process."""
    import atheris
    from attack import LONGEST
    from mutation import LARGEST

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = Random(seed)
        made = target.breaks(data, rng)[:most] if rng.randrange(2) else data
        return made if made != data else atheris.Mutate(data, most)

    words = corpus.parent / "words"
    words.write_text(
        "".join('"{}"\n'.format("".join(f"\\x{byte:02x}" for byte in word)) for word in target.words() if word)
    )
    runs = arguments.runs if arguments.runs < ENDLESS else -1
    options = {"runs": runs, "max_total_time": max(1, round(60 * arguments.minutes)), "seed": arguments.seed}
    options |= {"max_len": LARGEST, "dict": words, "timeout": 10 * LONGEST, "rss_limit_mb": MEGABYTES, "reload": 0}
    options |= {"artifact_prefix": f"{corpus.parent}/", "print_final_stats": 1}
    words_of_it = [f"-{key}={value}" for key, value in options.items()]
    atheris.Setup([sys.argv[0], *words_of_it, str(corpus)], lambda data: judge(data) and None, custom_mutator=mutate)
    atheris.Fuzz()
    raise AssertionError  # it does not return


def _print(rows: Sequence[dict[str, Any]]) -> None:
    from darkshare._tables import render

    shown = [{**row, "minutes": f"{row['minutes']:.1f}"} for row in rows]
    print(render(shown, "text"))


if __name__ == "__main__":
    sys.exit(main())
