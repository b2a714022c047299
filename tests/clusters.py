"""A Dask cluster of several processes on this machine, and workers in it that die in the middle of their work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def local_cluster() -> Iterator[Any]:
    """Three workers, each a process."""
    distributed = pytest.importorskip("distributed", reason="a cluster needs Dask")
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=":0", protocol="tcp://"
    ) as cluster:
        yield cluster


def kill_at(cluster: Any, picture: Path, mark: Path) -> None:
    """Let the first worker that comes to a picture be killed there, with SIGKILL, and leave a file as a mark."""

    def patch() -> None:
        import os
        import signal

        from darkshare.inference.media import chunks

        real = chunks.rows_on_worker

        def rows(job: Any, items: Any) -> Any:
            if any(item.name == str(picture) for item in items) and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return real(job, items)

        chunks.rows_on_worker = rows

    import distributed

    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(3)  # one may still be coming back from an earlier test
        client.run(patch)
