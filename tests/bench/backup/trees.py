"""Runs the engine and rsync in turns, and prints what each took and how they compare."""

import os
import random
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import time

ENGINE, TREE, COPIES, ROUNDS = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
FAR = sys.argv[5] == "yes"
KEEP = ["-aHAXS", "--numeric-ids"]
ADDRESS, SSH_PORT, RSYNC_PORT = "127.0.0.77", 7022, 7873
# Of rsync's time.
LIMITS = {"full": 0.25, "incremental": 0.20, "ssh": 1.05, "daemon": 1.05}


def call(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measured(*command):
    """Wall seconds, and CPU seconds of all children."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    call(*command)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def engine(job, repository, more=""):
    path = f"{COPIES}/{job}.toml"
    with open(path, "w") as file:
        file.write(f"engine = 'rsync'\nsources = ['{TREE}']\nexclude_caches = false\nrepository = '{repository}'\n{more}")
    return [ENGINE, "run", "--job", path, "--node", "bench", "--state-dir", f"{COPIES}/state"]


def forget(*names):
    for name in names:
        shutil.rmtree(f"{COPIES}/{name}", ignore_errors=True)


def change_one_percent(rng):
    files = sorted(os.path.join(at, name) for at, _, names in os.walk(TREE) for name in names)
    for path in rng.sample(files, len(files) // 100):
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "ab") as file:
                file.write(b"x")
    # What changed a moment before a run is not believed to have held still.
    time.sleep(3)


class Table:
    def __init__(self):
        self.taken = {}

    def add(self, name, wall_and_cpu):
        self.taken.setdefault(name, []).append(wall_and_cpu)

    def show(self):
        kept = True
        for case in dict.fromkeys(name.split("/")[0] for name in self.taken):
            ours, rsync = ([statistics.median(c) for c in zip(*self.taken[f"{case}/{who}"])] for who in ("engine", "rsync"))
            limit = LIMITS.get(case)
            ratio = ours[0] / rsync[0]
            word = "" if limit is None else f"  at most {limit:.2f}" + ("" if ratio <= limit else "  NOT KEPT")
            kept &= limit is None or ratio <= limit
            print(f"{case:12} engine {ours[0]:6.2f} s ({ours[1]:6.2f} CPU)  rsync {rsync[0]:6.2f} s ({rsync[1]:6.2f} CPU)"
                  f"  ratio {ratio:.2f}, of CPU {ours[1] / rsync[1]:.2f}{word}")
        return kept


def near(table, rng):
    job = engine("near", f"{COPIES}/near")
    for _ in range(ROUNDS):
        forget("near", "state", "rsync")
        os.makedirs(f"{COPIES}/rsync")
        time.sleep(3)
        table.add("full/rsync", measured("rsync", *KEEP, f"{TREE}/", f"{COPIES}/rsync/1/"))
        table.add("full/engine", measured(*job))
        change_one_percent(rng)
        table.add("incremental/rsync", measured("rsync", *KEEP, "--link-dest=../1", f"{TREE}/", f"{COPIES}/rsync/2/"))
        table.add("incremental/engine", measured(*job))
        table.add("unchanged/rsync", measured("rsync", *KEEP, "--link-dest=../2", f"{TREE}/", f"{COPIES}/rsync/3/"))
        table.add("unchanged/engine", measured(*job))
    forget("near", "state", "rsync")


def listening(port):
    while socket.socket().connect_ex((ADDRESS, port)):
        time.sleep(0.05)


def far(table):
    os.makedirs("/run/sshd", exist_ok=True)
    for name in ("host", "key"):
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{COPIES}/{name}")
    shutil.copy(f"{COPIES}/key.pub", f"{COPIES}/allowed")
    with open(f"{COPIES}/host.pub") as key, open(f"{COPIES}/known", "w") as known:
        known.write(f"[{ADDRESS}]:{SSH_PORT} {' '.join(key.read().split()[:2])}\n")
    with open(f"{COPIES}/sshd_config", "w") as file:
        file.write(f"ListenAddress {ADDRESS}:{SSH_PORT}\nHostKey {COPIES}/host\nAuthorizedKeysFile {COPIES}/allowed\n"
                   "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n")
    with open(f"{COPIES}/rsyncd.conf", "w") as file:
        file.write(f"address = {ADDRESS}\nport = {RSYNC_PORT}\nuid = 0\ngid = 0\n[bench]\npath = {COPIES}/module\n"
                   "read only = no\n")
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    servers = [
        subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", f"{COPIES}/sshd_config"], **silent),
        subprocess.Popen(["rsync", "--daemon", "--no-detach", "--config", f"{COPIES}/rsyncd.conf"], **silent),
    ]
    try:
        os.makedirs(f"{COPIES}/module", exist_ok=True)
        listening(SSH_PORT)
        listening(RSYNC_PORT)
        ssh = f"ssh -i {COPIES}/key -p {SSH_PORT} -o UserKnownHostsFile={COPIES}/known"
        keys = f"ssh_key = '{COPIES}/key'\nknown_hosts = '{COPIES}/known'\n"
        by_ssh = engine("ssh", f"ssh://root@{ADDRESS}:{SSH_PORT}{COPIES}/by-ssh", keys)
        by_daemon = engine("daemon", f"rsync://{ADDRESS}:{RSYNC_PORT}/bench/engine")
        for _ in range(ROUNDS):
            forget("by-ssh", "module", "state", "plain")
            os.makedirs(f"{COPIES}/module/engine")
            os.makedirs(f"{COPIES}/plain")
            table.add("ssh/rsync", measured("rsync", *KEEP, "-e", ssh, f"{TREE}/", f"root@{ADDRESS}:{COPIES}/plain/1/"))
            table.add("ssh/engine", measured(*by_ssh))
            forget("plain", "by-ssh")
            table.add("daemon/rsync", measured("rsync", *KEEP, f"{TREE}/", f"rsync://{ADDRESS}:{RSYNC_PORT}/bench/plain/"))
            table.add("daemon/engine", measured(*by_daemon))
    finally:
        for server in servers:
            server.terminate()
            server.wait()


def main():
    table = Table()
    near(table, random.Random(1))
    if FAR:
        far(table)
    sys.exit(0 if table.show() else 1)


main()
