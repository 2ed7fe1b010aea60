"""The processes of a job, from TF_CONFIG, Slurm, PBS and mpiexec; nothing is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bprune.errors import MissingFileError, UsageError
from bprune.training.distribute.cluster import FIRST_PORT, Cluster, read_cluster
from bprune.training.distribute.hostlist import expand_hosts, expand_tasks

SLURM = {
    "SLURM_JOB_ID": "4007",
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_NODELIST": "n[08-10]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
}
LOCAL = {"PMI_RANK": "2", "PMI_SIZE": "4", "MPI_LOCALRANKID": "2", "MPI_LOCALNRANKS": "4"}


def config(**changes: object) -> dict[str, str]:
    cluster = {"worker": ["a:1", "b:1"]}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 1}, **changes})}


def test_tf_config_comes_first() -> None:
    found = read_cluster({**SLURM, **config()})
    assert found == Cluster({"worker": ("a:1", "b:1")}, "worker", 1)
    assert found.address == "b:1"
    assert found.local_index == (0, 1)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "TF_CONFIG is not set"),
        ({"PMIX_RANK": "0"}, "TF_CONFIG is not set"),
        ({"TF_CONFIG": "{"}, "TF_CONFIG is not JSON"),
        ({"TF_CONFIG": "[]"}, "must be an object with the keys cluster and task"),
        (config(cluster={"worker": []}), "must list the addresses of kind worker as host:port, not \\[\\]"),
        (config(cluster={"worker": ["a"]}), "as host:port, not \\['a'\\]"),
        (config(cluster={"worker": ["a:1", "a:1"]}), "names an address twice"),
        (config(cluster={"chief": ["a:1"], "worker": ["b:1"]}), "kinds worker in its cluster, not chief, worker"),
        (config(cluster=7), "kinds worker in its cluster, not 7"),
        (config(task={"type": "worker", "index": 2}), "which is none of its cluster"),
        (config(task={"type": "ps", "index": 0}), "which is none of its cluster"),
        (config(task=None), "names the task None"),
        ({**LOCAL, "MPI_LOCALNRANKS": "2"}, "does not tell on which machines"),
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2,1"}, "3 nodes but 2 numbers of tasks"),
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2(x3)"}, "places for 6 processes, but 5 were started"),
        ({**SLURM, "SLURMD_NODENAME": "n10"}, "process 3 should be on n09 but is on n10"),
        ({**SLURM, "SLURM_STEP_NODELIST": "n[08-10"}, "is not a list of hosts"),
        ({**SLURM, "SLURM_STEP_NODELIST": "n[8-x]"}, "'8-x' is not a range of hosts"),
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "two"}, "'two' does not count tasks"),
    ],
)
def test_what_does_not_tell_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_cluster(environment)


def test_slurm_fills_one_node_after_the_other() -> None:
    found = read_cluster({**SLURM, "SLURMD_NODENAME": "n09"})
    first = FIRST_PORT + 7
    assert found.addresses["worker"] == (
        *(f"n08:{first}", f"n08:{first + 1}", f"n09:{first}", f"n09:{first + 1}", f"n10:{first}"),
    )
    assert (found.kind, found.index, found.local_index) == ("worker", 3, (1, 2))


def test_slurm_goes_round_the_nodes_where_it_says_so() -> None:
    found = read_cluster({**SLURM, "SLURM_DISTRIBUTION": "cyclic", "SLURMD_NODENAME": "n08"})
    assert [address.split(":")[0] for address in found.addresses["worker"]] == "n08 n09 n10 n08 n09".split()


@pytest.mark.parametrize("lines", ["x1\nx2\n", "x1\nx1\nx2\nx2\n"])
def test_pbs_lists_machines_once_or_once_per_process(tmp_path: Path, lines: str) -> None:
    (tmp_path / "nodes").write_text(lines)
    launch = {"PALS_RANKID": "2", "PALS_SIZE": "4", "PALS_LOCAL_RANKID": "0", "PALS_LOCAL_SIZE": "2"}
    found = read_cluster({**launch, "PBS_NODEFILE": str(tmp_path / "nodes"), "PBS_JOBID": "1234.server"})
    port = FIRST_PORT + 234
    assert found.addresses["worker"] == (f"x1:{port}", f"x1:{port + 1}", f"x2:{port}", f"x2:{port + 1}")
    assert found.index == 2


def test_the_hosts_of_pbs_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="PBS_NODEFILE=.* cannot be read"):
        read_cluster({**LOCAL, "PBS_NODEFILE": str(tmp_path / "none")})


def test_mpiexec_on_one_machine() -> None:
    found = read_cluster(LOCAL, port=5000)
    assert found.addresses["worker"] == tuple(f"localhost:{port}" for port in (5000, 5001, 5002, 5003))
    assert found.index == 2


@pytest.mark.parametrize(("rank", "kind", "index"), [(0, "chief", 0), (1, "ps", 0), (2, "worker", 0), (3, "worker", 1)])
def test_with_parameter_servers_ranks_have_kinds(rank: int, kind: str, index: int) -> None:
    found = read_cluster({**LOCAL, "PMI_RANK": str(rank)}, parameter_servers=1, port=5000)
    assert (found.kind, found.index) == (kind, index)
    assert found.all_addresses == tuple(f"localhost:{5000 + number}" for number in range(4))


def test_too_few_processes_for_parameter_servers() -> None:
    with pytest.raises(UsageError, match="4 processes are too few for a chief, 3 parameter servers and a worker"):
        read_cluster(LOCAL, parameter_servers=3)


def test_lists_of_slurm() -> None:
    assert expand_hosts("a,b[9-11,3],r[1-2]n[01-02]x") == "a b9 b10 b11 b3 r1n01x r1n02x r2n01x r2n02x".split()
    assert expand_tasks("3,1(x2)") == [3, 1, 1]
