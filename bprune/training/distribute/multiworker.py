"""tf.distribute's MultiWorkerMirroredStrategy: synchronous, its exchange inside TensorFlow (gRPC, or NCCL on GPUs)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import numpy as np
import tensorflow as tf

from bprune.errors import BPruneError, EngineError
from bprune.training.distribute.agreement import EndTogether
from bprune.training.distribute.cluster import Cluster
from bprune.training.distribute.distribution import Distribution
from bprune.training.distribute.gpu import take_gpu
from bprune.training.distribute.mode import Mode
from bprune.training.distribute.ports import Deadline, PortWatch, check_own_port, end_process, warn_of_open_ports
from bprune.training.distribute.seeds import base_seed, seed_of

__all__ = ["MultiWorker"]

_START_S = 600.0


class MultiWorker(Distribution):
    """The workers of a cluster. tf_keras shares `add_loss` out over replicas, so `kl / N` counts once.

    A worker that has several GPUs to itself uses all: a step takes one batch for each. Workers that share a machine
    take one GPU each, in turn. When a worker is lost, the next exchange fails on the others; one that waits elsewhere
    ends after `patience_s` seconds in which its neighbour does not answer.

    Args:
        seed: The job's seed, that of the chief; None draws one.
        cluster: The workers.
        patience_s: How long, in seconds, a neighbour may not answer.

    Raises:
        EngineError: If this worker's port is in use.
    """

    mode = Mode.MULTIWORKER

    def __init__(self, seed: int | None, cluster: Cluster, patience_s: float) -> None:
        super().__init__()
        warn_of_open_ports(cluster)
        check_own_port(cluster)
        local_index, here = cluster.local_index
        if here > 1:
            take_gpu(local_index)
        self.rank = cluster.index
        self.size = len(cluster.addresses["worker"])
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(dict(cluster.addresses)), task_type="worker", task_id=self.rank, rpc_layer="grpc"
        )
        with Deadline(_START_S, f"the {self.size} workers did not find each other"):
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
            self.seed = seed_of(int(self.gather([base_seed(seed)])[0][0]), self.rank)
        neighbours = [cluster.addresses["worker"][self.rank - 1]] if self.size > 1 else []
        self._watch = PortWatch(neighbours, patience_s, lambda address: end_process(_lost(address)))

    def __enter__(self) -> Distribution:
        self._watch.start()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is None:
            self.gather([0.0])
        self._watch.stop()

    def scope(self) -> AbstractContextManager[Any]:
        """The strategy's scope."""
        scope: AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """The numbers of all workers."""

        def everybodys() -> Any:
            value = tf.constant([list(numbers)], tf.float64)
            return tf.distribute.get_replica_context().all_gather(value, axis=0)

        rows = self._strategy.experimental_local_results(self._strategy.run(tf.function(everybodys)))[0].numpy()
        first = rows[:: len(rows) // self.size]
        return [[float(number) for number in row] for row in first]

    def take_chiefs(self, variables: Sequence[Any]) -> None:
        """Add up the chief's values and the others' zeros."""
        for variable in variables:
            value = variable.numpy()
            mine = value if self.is_chief else np.zeros_like(value)
            variable.assign(self._sum(mine).astype(value.dtype))

    def _sum(self, value: Any) -> Any:
        here = self._strategy.num_replicas_in_sync // self.size

        def summed() -> Any:
            context = tf.distribute.get_replica_context()
            first = context.replica_id_in_sync_group % here == 0
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, value, tf.zeros_like(value)))

        return self._strategy.experimental_local_results(self._strategy.run(tf.function(summed)))[0].numpy()

    def feed(self, data: Any, done: int, steps: int) -> Any:
        """This worker's batches, one for each of its replicas, without another sharding."""
        here = self._strategy.num_replicas_in_sync // self.size
        return self._strategy.distribute_datasets_from_function(lambda _: data.repeat().skip(done * here))

    def callbacks(self) -> tuple[list[Any], list[Any]]:
        """A wish to stop waits for the end of the epoch."""
        return [], [EndTogether(self.gather, None)]

    def meaning(self, error: Exception) -> BPruneError | None:
        """The loss of a worker."""
        lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
        if not isinstance(error, lost):
            return None
        lines = [line for line in str(error).splitlines() if "aborted by" in line or "by peer" in line]
        return _lost(f"another one ({(lines or [type(error).__name__])[0][:200]})")


def _lost(which: str) -> EngineError:
    return EngineError(
        f"a worker was lost: {which} does not answer; the job ends",
        hint="Start it again with the same resume_dir: it goes on after the last whole epoch.",
    )
