"""Train the members of a deep ensemble at the same time, each in a fresh process with a seed of its own.

A process that trained something before trains the next network a little differently, even with the same seed; in a
process of its own a member comes out the same, bit by bit, however many are trained at a time (on one machine, with one
version of TensorFlow and one --threads). What is there already is not trained again, so that a job that was killed goes
on when it is started again.

Any script that takes --out CASE and --seed N will do; options behind -- are handed on to it.

Examples:
  python examples/ensemble.py --members 3 --jobs 2 -- --network fc
  python examples/ensemble.py --members 8 --member $SLURM_ARRAY_TASK_ID     # one task of a job array
  mpiexec -n 8 python examples/ensemble.py --members 8                      # every rank trains its share
  python examples/ensemble.py --members 5 --script examples/regression.py --out runs/houses
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bprune.atomic import whole_directory
from bprune.training.launch import read_launch

RECORD = "member.json"


@dataclass(frozen=True)
class Training:
    """How a member is trained; written into its case directory.

    Attributes:
        member: Its number, from 0.
        seed: The seed that its script gets.
        script: The file name of the script.
        script_digest: SHA-256 of the script.
        arguments: Further arguments of the script.
        threads: How many cores TensorFlow uses.
    """

    member: int
    seed: int
    script: str
    script_digest: str
    arguments: tuple[str, ...]
    threads: int


class MemberError(Exception):
    """A member was not trained, or in another way than is asked for now."""


def member_seed(seed: int, member: int) -> int:
    """A seed below 2^31 that depends on the seed of the ensemble and the member's number alone."""
    return int(np.random.SeedSequence(seed, spawn_key=(member,)).generate_state(1)[0] >> 1)


def plan(options: argparse.Namespace) -> list[Training]:
    """All members, in order."""
    digest = hashlib.sha256(options.script.read_bytes()).hexdigest()
    common = (options.script.name, f"sha256:{digest}", tuple(options.arguments), options.threads)
    return [Training(member, member_seed(options.seed, member), *common) for member in range(options.members)]


def mine(members: list[Training], chosen: int | None, environment: Mapping[str, str]) -> list[Training]:
    """Those that this process trains: the one that was chosen, or under mpiexec every size-th from the rank on."""
    if chosen is not None:
        return [members[chosen]]
    launch = read_launch(environment)
    return members if launch is None else members[launch.rank :: launch.size or 1]


def child_environment(threads: int) -> dict[str, str]:
    """What a member's process finds: the threads, operations that always give the same, and no rank of its parent's."""
    environment = dict(os.environ)
    while launch := read_launch(environment):
        del environment[launch.variable]
    count = str(threads)
    environment.update(TF_NUM_INTRAOP_THREADS=count, TF_NUM_INTEROP_THREADS=count, OMP_NUM_THREADS=count)
    environment.update(TF_DETERMINISTIC_OPS="1", PYTHONHASHSEED="0")
    environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    return environment


class Pool:
    """Trains members, each in a process of its own, and ends these processes with itself.

    Args:
        script: The script.
        folder: Where the case directories of the members go.
    """

    def __init__(self, script: Path, folder: Path) -> None:
        self._script, self._folder = script, folder
        self._running: set[subprocess.Popen[bytes]] = set()

    def case(self, training: Training) -> Path:
        """The case directory of a member."""
        return self._folder / f"member_{training.member}"

    def is_there(self, training: Training) -> bool:
        """Whether a member is trained already.

        Raises:
            MemberError: If it was trained in another way.
        """
        record = self.case(training) / RECORD
        if not record.parent.exists():
            return False
        known = json.loads(record.read_text("utf-8")) if record.is_file() else {}
        wanted = json.loads(json.dumps(asdict(training)))
        if known != wanted:
            names = [name for name, value in wanted.items() if known.get(name) != value]
            raise MemberError(f"{record.parent} has other {', '.join(names)}; choose another --out, or remove it")
        return True

    def train(self, training: Training) -> None:
        """Train a member; its case directory appears when it is complete, and its log beside it at once.

        Raises:
            MemberError: If its script fails.
        """
        case = self.case(training)
        log = case.with_suffix(".log")
        with whole_directory(case) as temporary:
            command = [sys.executable, str(self._script), "--out", str(temporary), "--seed", str(training.seed)]
            with log.open("wb") as stream:
                process = subprocess.Popen(
                    [*command, *training.arguments],
                    env=child_environment(training.threads),
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                )
                self._running.add(process)
                code = process.wait()
                self._running.discard(process)
            if code:
                last = log.read_text("utf-8", "replace").rstrip().splitlines()[-1:]
                raise MemberError(f"member {training.member} ended with exit code {code}; see {log}: {''.join(last)}")
            (temporary / RECORD).write_text(json.dumps(asdict(training), indent=2) + "\n", "utf-8")

    def stop(self) -> None:
        """End what runs."""
        for process in list(self._running):
            process.terminate()


def train_all(pool: Pool, members: Iterable[Training], jobs: int) -> list[str]:
    """Train members, so many at a time; what went wrong, a line for each."""
    wrong = []
    missing = [training for training in members if not pool.is_there(training)]
    with ThreadPoolExecutor(max_workers=jobs) as executor:
        begun = {training.member: executor.submit(pool.train, training) for training in missing}
        try:
            for number, future in begun.items():
                error = future.exception()
                if error is not None:
                    wrong.append(str(error))
                print(f"member {number}: {'failed' if error else 'trained'}", flush=True)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            pool.stop()
            raise
    return wrong


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; what follows -- is the script's."""
    place = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        description="Train the members of a deep ensemble, each in a fresh process.",
        epilog="Options behind -- are handed on to the script, which must take --out CASE and --seed N.",
    )
    parser.add_argument("--members", type=int, default=3, help="how many networks (default: 3)")
    parser.add_argument("--jobs", type=int, default=1, help="how many are trained at a time (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="cores of each; other numbers may give other bits")
    parser.add_argument("--member", type=int, help="train this one alone, from 0: a task of a job array")
    parser.add_argument("--out", type=Path, help="folder of the members (default: runs/SCRIPT_ensemble)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the ensemble (default: 0)")
    parser.add_argument("--script", type=Path, default=Path(__file__).with_name("digits.py"), help="trains one network")
    options = parser.parse_args(arguments[:place])
    if min(options.members, options.jobs, options.threads) < 1 or options.seed < 0:
        parser.error("--members, --jobs and --threads are at least 1, and --seed is not negative")
    if options.member is not None and not 0 <= options.member < options.members:
        parser.error(f"--member {options.member} is not one of {options.members}, counted from 0")
    if not options.script.is_file():
        parser.error(f"there is no script {options.script}")
    options.arguments = arguments[place + 1 :]
    options.out = options.out or Path("runs") / f"{options.script.stem}_ensemble"
    return options


def main() -> None:
    """Train what is missing, and say what to do with the ensemble."""
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.out.mkdir(parents=True, exist_ok=True)
    pool, members = Pool(options.script, options.out), plan(options)
    try:
        wrong = train_all(pool, mine(members, options.member, os.environ), options.jobs)
        missing = [training.member for training in members if not pool.is_there(training)]
    except MemberError as error:
        sys.exit(f"error: {error}")
    if wrong:
        sys.exit("\n".join(f"error: {line}" for line in wrong))
    if missing:
        print(f"still missing of {options.members} members: {', '.join(map(str, missing))}")
        return
    cases = " ".join(f"--case-dir {pool.case(training)}" for training in members)
    print(f"bprune infer {cases} --out {options.out / 'results.h5'}")


if __name__ == "__main__":
    main()
