"""What a process has cost, read from /proc."""

import os

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _kilobytes(text, key):
    for line in text.splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


class Meter:
    """Watches one process from the moment it is made."""

    def __init__(self, pid):
        self.pid = pid
        self.children = set()
        self.threads_most = 0
        self.pss_most_kb = 0
        # Nanoseconds by thread: a thread that ended takes its own figure along.
        self._thread_ns = {}
        self._first_thread_ns = {}
        self._first = None

    def begin(self):
        """Forgets what the start cost."""
        self.look()
        self.children.clear()
        self.threads_most = 0
        self._first_thread_ns = dict(self._thread_ns)
        self._first = (self._ticks(), self._written_bytes())

    def look(self):
        """Call it several times a second: children and threads that came and went in between are not seen."""
        tasks = self._tasks()
        self.threads_most = max(self.threads_most, len(tasks))
        for task in tasks:
            schedstat = _read(f"/proc/{self.pid}/task/{task}/schedstat").split()
            if schedstat:
                self._thread_ns[task] = int(schedstat[0])
            self.children.update(_read(f"/proc/{self.pid}/task/{task}/children").split())

    def look_at_memory(self):
        """Call it rarely: the kernel walks all pages for it."""
        self.pss_most_kb = max(self.pss_most_kb, _kilobytes(_read(f"/proc/{self.pid}/smaps_rollup"), "Pss:"))

    def result(self, elapsed_s):
        """The figures since begin()."""
        self.look()
        self.look_at_memory()
        rollup = _read(f"/proc/{self.pid}/smaps_rollup")
        first_ticks, first_written = self._first
        used_ns = sum(ns - self._first_thread_ns.get(task, 0) for task, ns in self._thread_ns.items())
        ticks = self._ticks()
        return {
            "pss_kb": _kilobytes(rollup, "Pss:"),
            "pss_most_kb": self.pss_most_kb,
            "rss_kb": _kilobytes(rollup, "Rss:"),
            "anonymous_kb": _kilobytes(rollup, "Anonymous:"),
            "cpu_percent": used_ns / 1e9 / elapsed_s * 100,
            "cpu_ticks_percent": (ticks[0] - first_ticks[0]) * TICK_SECONDS / elapsed_s * 100,
            "children_cpu_percent": (ticks[1] - first_ticks[1]) * TICK_SECONDS / elapsed_s * 100,
            "threads": len(self._tasks()),
            "threads_most": self.threads_most,
            "children": len(self.children),
            "written_bytes": self._written_bytes() - first_written,
        }

    def _tasks(self):
        try:
            return os.listdir(f"/proc/{self.pid}/task")
        except FileNotFoundError:
            raise SystemExit(f"process {self.pid} has ended") from None

    def _ticks(self):
        # The name, in brackets, may hold blanks.
        fields = _read(f"/proc/{self.pid}/stat").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])

    def _written_bytes(self):
        for line in _read(f"/proc/{self.pid}/io").splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
        return 0
