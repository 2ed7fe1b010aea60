"""tf.distribute's ParameterServerStrategy: workers take turns at the weights without waiting for each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn

import tensorflow as tf
import tf_keras

from bprune.errors import BPruneError, EngineError, UnsupportedError, UsageError
from bprune.training.distribute.cluster import Cluster
from bprune.training.distribute.distribution import Distribution, MakeDataset
from bprune.training.distribute.mode import Mode
from bprune.training.distribute.ports import Deadline, PortWatch, check_own_port, end_process, warn_of_open_ports
from bprune.training.distribute.seeds import base_seed

__all__ = ["ParameterServers", "serve"]

_START_S = 600.0


@dataclass(frozen=True)
class Batches:
    """The batches of one epoch, made anew on every worker.

    Attributes:
        make: Makes them.
        element_spec: What a batch is.
        count: How many there are.
    """

    make: Callable[[], Any]
    element_spec: Any
    count: int

    def cardinality(self) -> int:
        """How many there are."""
        return self.count


class ParameterServers(Distribution):
    """The chief of a cluster with parameter servers; `serve` is what the other processes do.

    Asynchronous: a step is one batch of one worker, whose gradient, `mean over its batch + kl / N`, is applied to the
    weights as they are by then. An epoch is as many steps as one pass over the data has, shared out among the workers,
    each of which begins at another place of it. Nothing of this is reproducible, and every worker draws noise of its
    own; only the first weights come from the seed. A process that is lost ends the job.

    Args:
        seed: The chief's seed; None draws one.
        cluster: The processes.
        patience_s: How long, in seconds, a process may not answer.

    Raises:
        EngineError: If the chief's port is in use.
    """

    mode = Mode.PS
    rank = 0

    def __init__(self, seed: int | None, cluster: Cluster, patience_s: float) -> None:
        super().__init__()
        warn_of_open_ports(cluster)
        check_own_port(cluster)
        self.seed = base_seed(seed)
        self.size = len(cluster.addresses["worker"])
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(dict(cluster.addresses)), task_type="chief", task_id=0, rpc_layer="grpc"
        )
        with Deadline(_START_S, f"the {len(cluster.all_addresses)} processes did not find each other"):
            self._strategy = tf.distribute.ParameterServerStrategy(resolver)
        others = cluster.addresses["ps"] + cluster.addresses["worker"]
        self._watch = PortWatch(others, patience_s, lambda address: end_process(_lost(address)))

    def __enter__(self) -> Distribution:
        self._watch.start()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.stop()
        super().__exit__(kind, error, trace)

    def scope(self) -> AbstractContextManager[Any]:
        """The strategy's scope."""
        scope: AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """The chief's numbers: the others run nothing of the script."""
        return [list(numbers)]

    def dataset(self, make: MakeDataset) -> Batches:
        """The batches of the whole data, which every worker makes: `make(0, 1)`."""
        data = make(0, 1)
        return Batches(lambda: make(0, 1), data.element_spec, int(data.cardinality()))

    def feed(self, data: Batches, done: int, steps: int) -> Any:
        """Batches without end, which begin at another place on every worker."""
        tf.random.set_seed(None)  # a seed would be part of the step that all workers run, and give all the same noise

        def endless(_: Any) -> Any:
            worker = tf.cast(tf.distribute.coordinator.experimental_get_current_worker_index(), tf.int64)
            return data.make().repeat().skip(worker * (steps // self.size) + done // self.size)

        return tf_keras.utils.experimental.DatasetCreator(endless)

    def check(self, model: Any) -> None:
        """Refuse what a coordinator cannot run."""
        super().check(model)
        if model.run_eagerly:
            raise UnsupportedError(
                "a model that runs eagerly cannot be trained with parameter servers",
                hint="Compile it without run_eagerly.",
            )

    def check_validation(self, validation_data: Any) -> None:
        """Refuse data for validation: Keras evaluates shards on the workers, and some of them twice."""
        if validation_data is not None:
            raise UsageError(
                "validation_data does not go with parameter servers",
                hint="Evaluate the case: bprune infer, bprune metrics.",
            )

    def meaning(self, error: Exception) -> BPruneError | None:
        """The loss of a parameter server."""
        if isinstance(error, (tf.errors.UnavailableError, tf.errors.AbortedError)):
            return _lost("a parameter server")
        return None


def serve(cluster: Cluster, patience_s: float) -> NoReturn:
    """Be a worker or a parameter server until the chief has ended, then end this process with exit code 0.

    Args:
        cluster: The processes.
        patience_s: How long, in seconds, the chief may not answer.

    Raises:
        EngineError: If this process's port is in use.
    """
    check_own_port(cluster)
    if cluster.kind == "ps":
        tf.config.set_visible_devices([], "GPU")
    threads = max(4, len(cluster.addresses["worker"]) + 1)  # fewer than closures at work: TensorFlow waits for ever
    server = tf.distribute.Server(
        tf.train.ClusterSpec(dict(cluster.addresses)),
        job_name=cluster.kind,
        task_index=cluster.index,
        protocol="grpc",
        config=tf.compat.v1.ConfigProto(inter_op_parallelism_threads=threads),
    )

    def end(address: str) -> None:
        print(f"the chief at {address} has ended; so does {cluster.kind} {cluster.index}", file=sys.stderr, flush=True)
        os._exit(0)

    PortWatch(cluster.addresses["chief"], patience_s, end).start()
    server.join()
    raise AssertionError("a TensorFlow server never ends by itself")


def _lost(which: str) -> EngineError:
    return EngineError(
        f"a process was lost: {which} does not answer; the job ends",
        hint="Start all again with the same resume_dir: the chief goes on after the last whole epoch.",
    )
