"""The addresses of all processes of a tf.distribute job: from TF_CONFIG, or from what Slurm, PBS or mpiexec tell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bprune.errors import MissingFileError, UsageError
from bprune.training.distribute.hostlist import expand_hosts, expand_tasks
from bprune.training.launch import Launch, read_launch

__all__ = ["FIRST_PORT", "Cluster", "read_cluster"]

FIRST_PORT = 23450
"""The port of the first process of each machine, plus a number that depends on the job."""

_HINT = (
    "Start the processes with srun, or with mpiexec on one machine or under PBS; or set TF_CONFIG on each, such as "
    '{"cluster": {"worker": ["node1:23450", "node2:23450"]}, "task": {"type": "worker", "index": 0}}.'
)


@dataclass(frozen=True)
class Cluster:
    """The processes of a job, and which of them this one is.

    Attributes:
        addresses: `host:port` of every process, by kind: `worker`, and with parameter servers `chief` and `ps`.
        kind: This process's kind.
        index: Its number among those of its kind, from 0.
    """

    addresses: Mapping[str, tuple[str, ...]]
    kind: str
    index: int

    @property
    def address(self) -> str:
        """This process's `host:port`."""
        return self.addresses[self.kind][self.index]

    @property
    def all_addresses(self) -> tuple[str, ...]:
        """Those of all processes, in the order chief, ps, worker."""
        return tuple(address for kind in ("chief", "ps", "worker") for address in self.addresses.get(kind, ()))

    @property
    def local_index(self) -> tuple[int, int]:
        """This process's number among the processes of its kind on its machine, and how many these are."""
        host = _host(self.address)
        here = [number for number, other in enumerate(self.addresses[self.kind]) if _host(other) == host]
        return here.index(self.index), len(here)


def read_cluster(environment: Mapping[str, str], parameter_servers: int = 0, port: int | None = None) -> Cluster:
    """Find the processes of this job.

    Args:
        environment: `os.environ`, or one like it.
        parameter_servers: How many processes hold the weights; the first process is the chief then. 0 for a job of
            workers alone.
        port: The port of each machine's first process; None takes FIRST_PORT plus the last three digits of the number
            of a Slurm or PBS job.

    Raises:
        UsageError: If nothing tells who belongs to the job, or what does contradicts itself.
        MissingFileError: If the list of hosts that PBS names is not there.
    """
    kinds = ("chief", "ps", "worker") if parameter_servers else ("worker",)
    if environment.get("TF_CONFIG"):
        return _from_tf_config(environment["TF_CONFIG"], kinds)
    launch = read_launch(environment)
    if launch is None or launch.size is None:
        raise UsageError("nothing tells which processes belong to this job: TF_CONFIG is not set", hint=_HINT)
    hosts = _hosts(environment, launch, launch.size)
    if parameter_servers and launch.size < parameter_servers + 2:
        raise UsageError(
            f"{launch.size} processes are too few for a chief, {parameter_servers} parameter servers and a worker",
            hint=f"Start at least {parameter_servers + 2}.",
        )
    first = port or FIRST_PORT + _job_number(environment) % 1000
    addresses = [f"{host}:{first + hosts[:rank].count(host)}" for rank, host in enumerate(hosts)]
    if not parameter_servers:
        return Cluster({"worker": tuple(addresses)}, "worker", launch.rank)
    split = {
        "chief": addresses[:1],
        "ps": addresses[1 : 1 + parameter_servers],
        "worker": addresses[1 + parameter_servers :],
    }
    kind = next(kind for kind, found in split.items() if addresses[launch.rank] in found)
    index = split[kind].index(addresses[launch.rank])
    return Cluster({kind: tuple(found) for kind, found in split.items()}, kind, index)


def _from_tf_config(text: str, kinds: Sequence[str]) -> Cluster:
    def refuse(what: str) -> UsageError:
        return UsageError(f"TF_CONFIG {what}", hint=_HINT)

    try:
        configuration = json.loads(text)
    except json.JSONDecodeError as error:
        raise refuse(f"is not JSON: {error}") from None
    if not isinstance(configuration, dict) or not {"cluster", "task"} <= set(configuration):
        raise refuse("must be an object with the keys cluster and task")
    cluster, task = configuration["cluster"], configuration["task"]
    if not isinstance(cluster, dict) or set(cluster) != set(kinds):
        found = ", ".join(map(str, cluster)) if isinstance(cluster, (dict, list)) else repr(cluster)
        raise refuse(f"must name processes of the kinds {', '.join(kinds)} in its cluster, not {found}")
    for kind, addresses in cluster.items():
        if not isinstance(addresses, list) or not addresses or not all(_is_address(item) for item in addresses):
            raise refuse(f"must list the addresses of kind {kind} as host:port, not {addresses!r}")
    every = [address for addresses in cluster.values() for address in addresses]
    if len(set(every)) < len(every):
        raise refuse(f"names an address twice: {', '.join(every)}")
    kind, index = (task.get("type"), task.get("index")) if isinstance(task, dict) else (None, None)
    if (
        not isinstance(kind, str)
        or kind not in cluster
        or not isinstance(index, int)
        or not 0 <= index < len(cluster[kind])
    ):
        raise refuse(f"names the task {task!r}, which is none of its cluster")
    return Cluster({name: tuple(addresses) for name, addresses in cluster.items()}, kind, index)


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[^\s/]+:\d{1,5}", value) is not None


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def _hosts(environment: Mapping[str, str], launch: Launch, size: int) -> list[str]:
    """The host of every process, by rank."""
    if environment.get("SLURM_STEP_NODELIST"):
        hosts = _slurm_hosts(environment)
    elif environment.get("PBS_NODEFILE"):
        hosts = _pbs_hosts(Path(environment["PBS_NODEFILE"]), launch, size)
    elif launch.local_size == size:
        return ["localhost"] * size
    else:
        raise UsageError("the launcher does not tell on which machines its processes run", hint=_HINT)
    if len(hosts) != size:
        raise UsageError(
            f"the list of hosts has places for {len(hosts)} processes, but {size} were started", hint=_HINT
        )
    own = environment.get("SLURMD_NODENAME")
    if own and hosts[launch.rank] != own:
        raise UsageError(
            f"process {launch.rank} should be on {hosts[launch.rank]} but is on {own}: the order of tasks is not known",
            hint="Start them with srun --distribution=block, or set TF_CONFIG.",
        )
    return hosts


def _slurm_hosts(environment: Mapping[str, str]) -> list[str]:
    nodes = expand_hosts(environment["SLURM_STEP_NODELIST"])
    tasks = expand_tasks(environment.get("SLURM_STEP_TASKS_PER_NODE", "1"))
    if len(nodes) != len(tasks):
        raise UsageError(
            f"Slurm names {len(nodes)} nodes but {len(tasks)} numbers of tasks (SLURM_STEP_TASKS_PER_NODE)", hint=_HINT
        )
    if environment.get("SLURM_DISTRIBUTION", "block").startswith("cyclic"):
        return [node for turn in range(max(tasks)) for node, count in zip(nodes, tasks, strict=True) if turn < count]
    return [node for node, count in zip(nodes, tasks, strict=True) for _ in range(count)]


def _pbs_hosts(path: Path, launch: Launch, size: int) -> list[str]:
    """PBS lists a machine once, or once for each of its MPI processes; ranks fill one machine after the other."""
    try:
        lines = path.read_text(encoding="utf-8").split()
    except OSError as error:
        raise MissingFileError(f"PBS_NODEFILE={path} cannot be read: {error}", hint=_HINT) from None
    if len(lines) == size:
        return lines
    machines = list(dict.fromkeys(lines))
    each = launch.local_size or -(-size // len(machines))
    return [machine for machine in machines for _ in range(each)][:size]


def _job_number(environment: Mapping[str, str]) -> int:
    text = environment.get("SLURM_JOB_ID") or environment.get("PBS_JOBID") or ""
    digits = re.match(r"\d+", text)
    return int(digits.group()) if digits else 0
