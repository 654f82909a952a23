# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # Shared with packaging/quickstart.
# Part of packaging/quickstart: the simulated nodes, how they are switched, and how the controller is told of them.

# Short, so that nobody has to wait: a real rack has a battery for ten minutes, and nodes that take half a minute.
battery_seconds=40

name_nodes() {
  local number
  names=()
  for ((number = 1; number < nodes; number++)); do names+=("pi-$number"); done
  names+=(nas)
}

# The address by which the power strip knows a node; such as nobody's card has.
mac() { printf '02:00:00:00:52:%02x' "$1"; }

start_strip() {
  local place sockets=()
  for place in "${!names[@]}"; do sockets+=("$(mac "$place")=${names[place]}"); done
  rm -f strip.port
  start strip.log "$root/packaging/quickstart.d/strip" "${sockets[@]}"
  others+=($!)
  wait_until test -s strip.port || lost strip.log "the power strip does not come up"
}

configure_controller() {
  local place
  {
    cat <<CONFIG
listen = "$address"
endpoints = ["$address"]
socket = "controller.sock"

[power]
# This machine does not hang on the simulated UPS.
master = "none"
cut_load = false
expected_seconds = 6
margin_seconds = 15
mains_hold_seconds = 1
mains_stable_seconds = 3
restore_charge_percent = 40
wake_addresses = ["127.0.0.1:$(cat strip.port)"]

[[power.ups]]
name = "ups@127.0.0.1:$ups_port"
user = "rackhaven"
password_file = "ups/password"
tls = "off"

# First the workers, then what they write to.
[[power.stage]]
name = "workers"
nodes = [$(printf '"%s", ' "${names[@]:0:nodes-1}")]
needs = ["nas"]

[[power.stage]]
name = "storage"
nodes = ["nas"]

[power.wake]
CONFIG
    for place in "${!names[@]}"; do printf '%s = "%s"\n' "${names[place]}" "$(mac "$place")"; done
  } >controller.toml
}

# Scripts for whoever plays with the fleet, and in place of what would switch this machine.
write_buttons() {
  local quoted
  quoted=$(printf %q "$dir")
  cat >mains <<SCRIPT
#!/bin/bash
# The mains of the simulated UPS: off, on, or low (off, with a battery that is nearly empty).
[[ \$1 == @(on|off|low) ]] || { echo "usage: mains on|off|low" >&2; exit 2; }
echo "\$1" >$quoted/ups/mains
SCRIPT
  cat >button <<SCRIPT
#!/bin/bash
# The power button of a simulated node.
[[ -p $quoted/\$1/power && \$2 == @(on|off|reboot) ]] || { echo "usage: button NODE on|off|reboot" >&2; exit 2; }
# Opened for reading too, so that this does not wait for a node that is not there.
echo "\$2" 1<>"$quoted/\$1/power"
SCRIPT
  cat >k3s <<'SCRIPT'
#!/bin/bash
# In place of K3s: takes its time to stop.
[[ $1 == start ]] || sleep 1.3
SCRIPT
  chmod 700 mains button k3s
}

configure_node() {
  local name=$1 place=${1#pi-} button
  button=$(toml "$dir/button")
  mkdir -p "$name/hooks"
  # All that would touch this machine itself is replaced or left out.
  cat >"$name/agent.toml" <<CONFIG
[power]
poweroff_command = [$button, "$name", "off"]
reboot_command = [$button, "$name", "reboot"]

[shutdown]
hooks_dir = $(toml "$dir/$name/hooks")
unmount_types = []

[k3s]
stop_command = [$(toml "$dir/k3s"), "stop"]
start_command = [$(toml "$dir/k3s"), "start"]
systemd_dir = $(toml "$dir/$name")
# K3s would be installed on this machine: there is no engine.
engine = $(toml "$dir/no-k3s")

[backup]
engine = $(toml "$built/rackhaven-backup")
jobs_dir = $(toml "$dir/$name/jobs")
status_dir = $(toml "$dir/$name/status")
CONFIG
  mkdir -p "$name/jobs" nas/repository
  cat >"$name/jobs/demo.toml" <<JOB
sources = [$(toml "$dir/$name/hooks"), $(toml "$dir/$name/agent.toml")]
repository = $(toml "$dir/nas/repository")
JOB
  [[ $place == nas ]] && place=2
  cat >"$name/hooks/10-flush" <<SCRIPT
#!/bin/bash
# In place of what an admin has to do: flush a database, say.
sleep 2.$((place % 4 * 3))
SCRIPT
  chmod 700 "$name/hooks" "$name/hooks/10-flush"
}

enrol() {
  local name=$1 token
  # The invitation goes from hand to hand without being seen in a list of processes.
  token=$("$built/ctl" node invite --name "$name" -o json 2>/dev/null | sed -n 's/.*"token": *"\([^"]*\)".*/\1/p')
  RACKHAVEN_TOKEN=$token quietly "$built/rackhaven-agent" join "$address" --state-dir "$name/state" \
    --config "$name/agent.toml" || fail "$name could not join"
}
