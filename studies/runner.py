"""Runs jobs on local processes or on a Dask cluster, and hands their rows over as they come."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from partita.errors import StudyError
from partita.studies.work import Job, Row, done

MOST_RESTARTS = 3
MOST_LOSSES = 5
"""Workers of a cluster that may be lost under one job before the job is taken for the cause."""


def run_jobs(jobs: Sequence[Job], *, processes: int, cluster: str | None) -> Iterator[list[Row]]:
    """The rows of each job, in the order in which jobs end."""
    if cluster is not None:
        return _on_cluster(jobs, cluster)
    if processes == 1 or len(jobs) <= 1:
        return (done(job) for job in jobs)
    return _on_processes(jobs, processes)


def usual_processes() -> int:
    """As many as this process may use cores."""
    return max(1, len(os.sched_getaffinity(0)))


def _on_processes(jobs: Sequence[Job], processes: int) -> Iterator[list[Row]]:
    """A worker that is killed takes the pool with it; what it had not done is done by a new pool."""
    left = dict(enumerate(jobs))
    for _ in range(1 + MOST_RESTARTS):
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(processes, len(left)), mp_context=context) as pool:
            futures = {pool.submit(done, job): number for number, job in left.items()}
            try:
                for future in as_completed(futures):
                    rows = future.result()
                    del left[futures[future]]
                    yield rows
            except BrokenProcessPool:
                continue
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        return
    raise StudyError(f"worker processes died {1 + MOST_RESTARTS} times; is there enough memory? Try -j 1")


def _on_cluster(jobs: Sequence[Job], address: str) -> Iterator[list[Row]]:
    """Dask runs a lost worker's jobs again on another; the workers must see the models under the same paths."""
    try:
        import distributed
    except ImportError:
        raise StudyError("--cluster needs Dask: install partita[cluster]") from None
    try:
        client = distributed.Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise StudyError(f"there is no Dask scheduler at {address!r}: {error}") from None
    with client:
        futures = [client.submit(done, job, key=f"partita-{job.points[0][0]}", retries=MOST_LOSSES) for job in jobs]
        try:
            for future in distributed.as_completed(futures, loop=client.loop):
                yield future.result()
        except distributed.KilledWorker as error:
            raise StudyError(f"a job was lost with {MOST_LOSSES} workers one after the other: {error}") from None
        except distributed.client.FutureCancelledError as error:
            raise StudyError(f"the cluster at {address!r} was lost: {error}; start again to go on") from None
