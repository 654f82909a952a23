"""Runs the engine on very many files under a limit, and prints what each command took."""

import os
import shutil
import subprocess
import sys
import time

ENGINE, TOP, FILES = sys.argv[1], sys.argv[2], int(sys.argv[3])
TREE, RESTORED = f"{TOP}/tree", f"{TOP}/restored"
LIMIT_MB = 128
PER_FOLDER = 500
# One in so many has content: what costs memory is that there are files, not what is in them.
WITH_CONTENT = 20


def make(tree):
    """In a process of its own: the memory of this one is that with which the engine begins."""
    for number in range(FILES):
        folder = f"{tree}/{number // (PER_FOLDER * 100):03}/{number // PER_FOLDER:05}"
        if number % PER_FOLDER == 0:
            os.makedirs(folder)
        handle = os.open(f"{folder}/a-file-with-a-usual-name-{number:08}", os.O_CREAT | os.O_WRONLY, 0o644)
        if number % WITH_CONTENT == 0:
            os.write(handle, b"%d and some more" % number)
        os.close(handle)


def change_one_percent():
    for number in range(0, FILES, 100):
        path = f"{TREE}/{number // (PER_FOLDER * 100):03}/{number // PER_FOLDER:05}/a-file-with-a-usual-name-{number:08}"
        with open(path, "ab") as file:
            file.write(b"changed")


def in_a_child(work):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("the tree could not be made")


class Measured:
    def __init__(self):
        self.rows, self.bad = [], False

    def run(self, title, job, *arguments):
        """Runs the engine under the limit."""
        command = [ENGINE, arguments[0], "--job", f"{TOP}/{job}.toml", "--node", "bench", "-o", "json"]
        command += ["--state-dir", f"{TOP}/state", *arguments[1:]]
        most = LIMIT_MB * 1024 * 1024
        begun = time.monotonic()
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-S", "-c", LIMITED, str(most), *command],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 1, f"{TOP}/out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)],
        )
        _, status, usage = os.wait4(child, 0)
        wall, code = time.monotonic() - begun, os.waitstatus_to_exitcode(status)
        peak = usage.ru_maxrss / 1024
        allowed = 64 + 150 * FILES / 1e6
        failed = code != 0 or peak > allowed
        self.bad |= failed
        words = "" if not failed else f"   FAILED ({code}): {open(f'{TOP}/out').read(500)}"
        print(f"{title:34}{wall:9.2f}{usage.ru_utime + usage.ru_stime:9.2f}{peak:9.1f}{allowed:9.0f}{words}", flush=True)


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]), int(sys.argv[1])))
os.execv(sys.argv[2], sys.argv[2:])
"""


def count(folder):
    return int(subprocess.run(["sh", "-c", f"find {folder} -type f | wc -l"], capture_output=True, check=True).stdout)


def forget():
    shutil.rmtree(RESTORED, ignore_errors=True)


def main():
    in_a_child(lambda: make(TREE))
    # What changed a moment before a run is not believed to have held still.
    time.sleep(3)
    measured = Measured()
    wanted = f"{TREE}/000/00000/a-file-with-a-usual-name-00000000"
    print(f"{FILES} files, at most {LIMIT_MB} MB of data in memory (RLIMIT_DATA)")
    print(f"{'':34}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'allowed':>9}", flush=True)
    for engine, name in (("tar", "tar"), ("rsync", "tree")):
        with open(f"{TOP}/{name}.toml", "w") as file:
            file.write(f"engine = '{engine}'\nsources = ['{TREE}']\nrepository = '{TOP}/repository'\n")
        measured.run(f"{name}: full", name, "run")
        measured.run(f"{name}: nothing changed", name, "run")
        in_a_child(change_one_percent)
        time.sleep(3)
        measured.run(f"{name}: 1 % changed", name, "run")
        measured.run(f"{name}: verify", name, "verify")
        measured.run(f"{name}: list", name, "list")
        measured.run(f"{name}: say what would be restored", name, "restore", "--dry-run", "--to", RESTORED)
        measured.run(f"{name}: restore one file", name, "restore", wanted, "--to", RESTORED)
        with open(wanted, "rb") as one, open(RESTORED + wanted, "rb") as other:
            assert one.read() == other.read(), "the file is another one"
        forget()
        measured.run(f"{name}: restore everything", name, "restore", "--to", RESTORED)
        there = count(RESTORED)
        if there != FILES:
            sys.exit(f"{there} files were given back")
        forget()
        shutil.rmtree(f"{TOP}/repository")
    sys.exit(measured.bad)


if __name__ == "__main__":
    main()
