"""Trials on the workers of a Dask cluster. Each still runs in a process of its own there."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from darkshare.choose_k.processes import LAST, Message, Process, cores
from darkshare.choose_k.trials import Trial
from darkshare.inference.cluster import connected, dask

_OFTEN = 1.0  # seconds, to ask whether to stop


def run_on_cluster(trials: Sequence[Trial], address: str) -> Iterator[Message]:
    """Run trials on a cluster and yield what happens. Closing the iterator early makes them save and stop.

    Base, pictures and the folder of the sweep must be found under the same paths on every worker.

    Args:
        trials: in this order.
        address: of the scheduler, like tcp://10.0.0.1:8786.

    Raises:
        DarkshareError: the package is missing, or the scheduler does not answer.
    """
    client = connected(address)
    name, said = f"darkshare-{uuid.uuid4().hex}", SimpleQueue[WorkerMessage]()
    stop = dask().Event(name, client=client)
    client.subscribe_topic(name, lambda found: said.put(WorkerMessage(*found[1])))
    futures: dict[int, Any] = {}
    for number, trial in enumerate(trials):
        future = client.submit(_do, trial, number, name, key=f"{name}-{number}", pure=False, priority=-number)
        future.add_done_callback(lambda done, number=number: said.put(_end(number, done)))
        futures[number] = future
    try:
        while futures:
            word = said.get()
            if word.event in LAST:
                del futures[word.number]
            yield Message(trials[word.number], word.event, word.batch, word.text)
    finally:
        if futures:
            stop.set()
            _wait(futures, said)
        client.close()


class WorkerMessage(NamedTuple):
    """A worker's message: a `Message` with the trial's number."""

    number: int
    event: str
    batch: int
    text: str


def _wait(futures: dict[int, Any], said: SimpleQueue[WorkerMessage]) -> None:
    while futures:
        word = said.get()
        if word.event in LAST:
            futures.pop(word.number, None)


def _end(number: int, done: Any) -> WorkerMessage:
    """The last message of a trial, also where its worker was lost."""
    if done.status == "finished":
        event, text = done.result()
        return WorkerMessage(number, event, 0, text)
    why = repr(done.exception()) if done.status == "error" else done.status
    return WorkerMessage(number, "failed", 0, f"on the cluster: {why}")


# On a worker.


def _do(trial: Trial, number: int, name: str) -> tuple[str, str]:
    """Run a trial in a process and pass on its messages, until it ends or is to stop."""
    worker, stop = dask().get_worker(), dask().Event(name)
    threads = trial.options.threads or max(cores() // worker.state.nthreads, 1)
    if stop.is_set():
        return "stopped", ""
    said: SimpleQueue[Message] = SimpleQueue()
    process = Process(replace(trial, options=replace(trial.options, threads=threads)), said.put)
    while True:
        with contextlib.suppress(Empty):
            message = said.get(timeout=_OFTEN)
            if message.event in LAST:
                process.wait()
                return message.event, message.text
            worker.log_event(name, (number, message.event, message.batch, message.text))
        if not process.is_stopping and stop.is_set():
            process.stop()
