"""The agents that are compared: how each is started, and with what."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time

# What the agent measures too, so that both do about the same work.
COLLECTD_PLUGINS = ["cpu", "memory", "load", "df", "disk", "interface", "swap"]
PACKAGES = ["collectd-core", "prometheus-node-exporter"]
POLICY = "/usr/sbin/policy-rc.d"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def install():
    """Installs the packages without letting their services start."""
    missing = [p for p in PACKAGES if subprocess.run(["dpkg", "-s", p], capture_output=True).returncode]
    if not missing:
        return
    ours = not os.path.exists(POLICY)
    if ours:
        with open(POLICY, "w") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(POLICY, 0o755)
    try:
        command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
    finally:
        if ours:
            os.remove(POLICY)


class Contender:
    """A running agent."""

    def __init__(self, name, command, binaries, folder, env=None):
        self.name = name
        self.binary_bytes = sum(os.path.getsize(path) for path in binaries)
        self.log = os.path.join(folder, f"{name}.log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)

    def check(self):
        if self.process.poll() is not None:
            with open(self.log) as log:
                raise SystemExit(f"{self.name} has ended ({self.process.returncode}):\n{log.read()[-2000:]}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def rackhaven(binaries, folder):
    """A controller and an agent that has joined it: (controller, agent)."""
    state = {part: os.path.join(folder, part) for part in ("controller", "agent")}
    config = {part: os.path.join(folder, f"{part}.toml") for part in state}
    token = os.path.join(folder, "token")
    endpoint = f"127.0.0.1:{free_port()}"
    with open(config["controller"], "w") as file:
        file.write(f'listen = "{endpoint}"\nsocket = ""\n')
    with open(config["agent"], "w") as file:
        # A slip of this script must not switch the machine off.
        file.write('[power]\npoweroff_command = ["false"]\nreboot_command = ["false"]\n')
    at = {part: ["--config", config[part], "--state-dir", state[part]] for part in state}

    def do(*command):
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    do(binaries["rackhaven-controller"], "init", *at["controller"], "--endpoint", endpoint)
    controller = binaries["rackhaven-controller"]
    controller = Contender("controller", [controller, "run", *at["controller"]], [controller], folder)
    try:
        _wait_for(endpoint, controller)
        context = os.path.join(state["controller"], "admin.context")
        invitation = do(binaries["ctl"], "--context-file", context, "node", "invite", "-o", "json")
        with open(token, "w") as file:
            file.write(json.loads(invitation)["token"])
        agent = binaries["rackhaven-agent"]
        do(agent, "join", endpoint, "--token-file", token, *at["agent"], "--name", "bench")
        return controller, Contender("rackhaven-agent", [agent, "run", *at["agent"]], [agent], folder)
    except BaseException:
        controller.stop()
        raise


def _wait_for(endpoint, contender):
    host, port = endpoint.split(":")
    for _ in range(100):
        contender.check()
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing listens on {endpoint}")


def node_exporter(folder, scrape_s):
    """Prometheus' exporter, scraped as Prometheus would."""
    path = shutil.which("prometheus-node-exporter")
    port = free_port()
    contender = Contender("node-exporter", [path, f"--web.listen-address=127.0.0.1:{port}"], [path], folder)

    def scrape():
        while contender.process.poll() is None:
            time.sleep(scrape_s)
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/metrics")
                connection.getresponse().read()
                connection.close()
            except OSError:
                pass

    threading.Thread(target=scrape, daemon=True).start()
    return contender


def collectd(folder, interval_s):
    """collectd, reading and writing nowhere."""
    path = shutil.which("collectd") or "/usr/sbin/collectd"
    plugins = "/usr/lib/collectd"
    config = os.path.join(folder, "collectd.conf")
    with open(config, "w") as file:
        file.write(f'Hostname "bench"\nInterval {interval_s}\nBaseDir "{folder}"\nPIDFile "{folder}/collectd.pid"\n')
        file.write(f'PluginDir "{plugins}"\nTypesDB "/usr/share/collectd/types.db"\n')
        file.writelines(f"LoadPlugin {plugin}\n" for plugin in COLLECTD_PLUGINS)
    binaries = [path, *(os.path.join(plugins, f"{plugin}.so") for plugin in COLLECTD_PLUGINS)]
    return Contender("collectd", [path, "-f", "-C", config], binaries, folder)
