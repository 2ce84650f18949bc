"""A SLURM of one node on the loopback device, with daemons of its own.

It needs no systemd, no configuration of the machine and no accounting database, only
``apt-get install slurm-wlm munge`` on Debian or Ubuntu.
"""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
# Nothing of the machine is measured or confined; the GPUs are a number. Jobs of the
# partition "urgent" push those of the other one out.
CONFIG = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
MpiDefault=none
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 Gres=gpu:4
PartitionName=work Nodes=ALL Default=YES MaxTime=60 PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=2
"""


def missing() -> list[str]:
    """Which of the daemons are not installed."""
    return [name for name in DAEMONS if _path(name) is None]


def processes(**environment: str) -> list[int]:
    """Processes that were started with these variables, but for this one."""
    wanted = {f"{key}={value}".encode() for key, value in environment.items()}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            given = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # ended, or somebody else's
            continue
        if wanted <= set(given) and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


@contextmanager
def single_node() -> Iterator[None]:
    """Run SLURM, on which all of its commands then act.

    The node claims to have 16 processors and 4 GPUs.

    Raises
    ------
    RuntimeError
        If it does not start, with what its daemons say.
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: it holds a socket
    config = folder / "slurm.conf"
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(config)
    daemons: list[subprocess.Popen] = []
    try:
        _configure(folder)
        _start(folder, daemons)
        yield
    finally:
        _stop(config)
        for daemon in daemons:
            daemon.wait()
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before
        shutil.rmtree(folder)


def _path(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _configure(folder: Path) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1], other.getsockname()[1]]
    (folder / "slurm.conf").write_text(
        CONFIG.format(
            host=socket.gethostname().split(".")[0],
            ports=ports,
            user=getpass.getuser(),
            folder=folder,
        )
    )
    for i in range(4):
        (folder / f"gpu{i}").touch()
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-3]\n")
    # Or slurmd would ask systemd for a group of version 2.
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")


def _start(folder: Path, daemons: list[subprocess.Popen]) -> None:
    def start(name: str, *options: str) -> None:
        with (folder / f"{name}.out").open("w") as stream:
            daemon = subprocess.Popen(
                [_path(name), *options],
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        daemons.append(daemon)

    files = {
        "socket": "munge.socket",
        "key-file": "munge.key",
        "pid-file": "munged.pid",
        "seed-file": "munged.seed",
    }
    options = [f"--{option}={folder / name}" for option, name in files.items()]
    start("munged", "--foreground", "--force", *options)
    _wait(folder, (folder / "munge.socket").exists)
    start("slurmctld", "-D", "-i")
    _wait(folder, lambda: _answers("scontrol", "ping", wanted="UP"))
    start("slurmd", "-D")
    _wait(folder, lambda: _answers("sinfo", "-h", "-o", "%T", wanted="idle"))


def _answers(*command: str, wanted: str) -> bool:
    result = subprocess.run(command, capture_output=True, text=True)
    return wanted in result.stdout


def _wait(folder: Path, condition) -> None:
    for _ in range(300):
        if condition():
            return
        time.sleep(0.2)
    said = [path.read_text()[-1000:] for path in sorted(folder.glob("*.out"))]
    raise RuntimeError("SLURM does not start:\n" + "\n\n".join(said))


def _stop(config: Path) -> None:
    """Kill the daemons and what they have started, which all know the configuration."""
    while left := processes(SLURM_CONF=str(config)):
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)
