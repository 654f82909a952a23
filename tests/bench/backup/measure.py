"""Runs the engine and `tar | zstd` in turns, and prints what each took and how they compare."""

import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time

ENGINE, TREE, ARCHIVES, ROUNDS = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
REPOSITORY, STATE = f"{ARCHIVES}/repository", f"{ARCHIVES}/state"
JOB = f"{ARCHIVES}/bench.toml"
TAR = "tar --xattrs --xattrs-include='*' --acls -S"


def shell(line):
    subprocess.run(["bash", "-o", "pipefail", "-ec", line], check=True, stdout=subprocess.DEVNULL)


def engine(*arguments):
    command = [ENGINE, arguments[0], "--job", JOB, "--node", "bench", "--state-dir", STATE, *arguments[1:]]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measured(work):
    """Wall seconds, CPU seconds of all children, and the most memory of any of them so far, MB."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    work()
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def peak_mb(*arguments):
    """The most memory that the engine had at once."""
    command = ["/usr/bin/env", "python3", "-c", PEAK, ENGINE, arguments[0]]
    command += ["--job", JOB, "--node", "bench", "--state-dir", STATE, *arguments[1:]]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def stored_mb(path):
    if os.path.isfile(path):
        return os.path.getsize(path) / 1e6
    sizes = [os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(path) for name in names]
    return sum(sizes) / 1e6


def newest_archive():
    folder = f"{REPOSITORY}/bench/bench"
    return max(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".tar.zst"))


class Table:
    def __init__(self):
        self.taken = {}

    def add(self, name, wall_and_cpu):
        self.taken.setdefault(name, []).append(wall_and_cpu)

    def median(self, name):
        return [statistics.median(column) for column in zip(*self.taken[name])]


def forget():
    shutil.rmtree(REPOSITORY, ignore_errors=True)
    shutil.rmtree(STATE, ignore_errors=True)


def change_one_percent(rng):
    """The same files in each run: one in a hundred is written anew."""
    files = sorted(
        os.path.join(at, name) for at, _, names in os.walk(TREE) for name in names if name.startswith("file-")
    )
    for path in rng.sample(files, len(files) // 100):
        with open(path, "r+b") as file:
            file.write(rng.randbytes(max(1, os.path.getsize(path) // 3)))


def main():
    with open(JOB, "w") as file:
        file.write(f'sources = ["{TREE}"]\nrepository = "{REPOSITORY}"\nexclude_if_present = []\n')
    table, sizes = Table(), {}
    base = os.path.dirname(TREE)
    out, listing = f"{ARCHIVES}/tar.zst", f"{ARCHIVES}/listing"
    # Everything is in the page cache from here on.
    shell(f"tar -cf - -C {base} {TREE.removeprefix(base + '/')} | cat")
    for _ in range(ROUNDS):
        for name, options in [("tar | zstd -3", "-3"), ("tar | zstd -3 -T2", "-3 -T2")]:
            line = f"{TAR} -cPf - {TREE} | zstd -q {options} -f -o {out}"
            table.add(name, measured(lambda: shell(line)))
            sizes[name] = stored_mb(out)
        forget()
        table.add("full", measured(lambda: engine("run")))
        sizes["full"] = stored_mb(newest_archive())
    forget()
    peak = {"full": peak_mb("run")}

    shell(f"{TAR} -g {listing} -cPf - {TREE} | zstd -q -3 -f -o {out}")
    change_one_percent(random.Random(1))
    for folder in (REPOSITORY, STATE):
        shutil.copytree(folder, f"{folder}.before")
    for _ in range(ROUNDS):
        shutil.copy(listing, f"{listing}.now")
        line = f"{TAR} -g {listing}.now -cPf - {TREE} | zstd -q -3 -f -o {out}"
        table.add("tar -g | zstd -3", measured(lambda: shell(line)))
        sizes["tar -g | zstd -3"] = stored_mb(out)
        forget()
        for folder in (REPOSITORY, STATE):
            shutil.copytree(f"{folder}.before", folder)
        table.add("increment", measured(lambda: engine("run")))
        sizes["increment"] = stored_mb(newest_archive())
        table.add("nothing changed", measured(lambda: engine("run")))
        sizes["nothing changed"] = stored_mb(newest_archive())
    peak["increment"] = peak_mb("run")

    wanted = sorted(os.path.join(at, name) for at, _, names in os.walk(TREE) for name in names)[40_000]
    target = f"{ARCHIVES}/restored"
    for _ in range(ROUNDS):
        shutil.rmtree(target, ignore_errors=True)
        full = next(name for name in os.listdir(f"{REPOSITORY}/bench/bench") if name.endswith("-full.tar.zst"))
        table.add("one file", measured(lambda: engine("restore", full, wanted, "--to", target)))
        table.add("verify", measured(lambda: engine("verify", full)))
        table.add("zstd -t", measured(lambda: shell(f"zstd -qt {REPOSITORY}/bench/bench/{full}")))
    with open(wanted, "rb") as one, open(target + wanted, "rb") as other:
        assert one.read() == other.read(), "the file is another one"
    shutil.rmtree(target)
    table.add("everything", measured(lambda: engine("restore", "--to", target)))
    peak["everything"] = peak_mb("restore", "--to", target)
    report(table, sizes, peak)


def report(table, sizes, peak):
    print(f"{'':20}{'wall s':>9}{'CPU s':>9}{'stored MB':>11}{'peak MB':>9}")
    for name in table.taken:
        wall, cpu = table.median(name)
        stored = f"{sizes[name]:.1f}" if name in sizes else ""
        memory = f"{peak[name]:.0f}" if name in peak else ""
        print(f"{name:20}{wall:9.2f}{cpu:9.2f}{stored:>11}{memory:>9}")

    def ratio(one, other, column=0):
        return table.median(one)[column] / table.median(other)[column]

    entries = sum(len(folders) + len(names) for _, folders, names in os.walk(TREE))
    limits = [
        ("full / (tar | zstd -3)", ratio("full", "tar | zstd -3"), 0.70),
        ("full / (tar | zstd -3 -T2)", ratio("full", "tar | zstd -3 -T2"), 0.80),
        ("size of full / tar | zstd -3", sizes["full"] / sizes["tar | zstd -3"], 1.0),
        ("increment / (tar -g | zstd -3)", ratio("increment", "tar -g | zstd -3"), 0.65),
        ("nothing changed, s", table.median("nothing changed")[0], 0.3),
        ("one file, s", table.median("one file")[0], 0.1),
        ("memory, MB", max(peak.values()), 64 + 150 * entries / 1e6),
    ]
    print()
    for name, found, limit in limits:
        print(f"{name:34}{found:8.3f}   at most {limit:.2f}{'' if found <= limit else '   NOT KEPT'}")
    sys.exit(any(found > limit for _, found, limit in limits))


if __name__ == "__main__":
    main()
