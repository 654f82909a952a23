# shellcheck shell=bash
# shellcheck disable=SC2154,SC2317 # Shared with tests/lab/run.d/inside, or called by wait_until.
# Part of tests/lab/run: from bare machines to a fleet.

story_enrol() {
  local begun took
  install_controller
  begun=$(now_ms)
  each enrol "${rack[@]}"
  wait_until 60 all_are up "${rack[@]}" || fail "not all nodes are up"
  took=$(($(now_ms) - begun))
  figure "${#rack[@]} machines, from the first apt-get install of the agent to ctl status: all up" "$(seconds "$took") s"
  figure "of that, apt-get install on the slowest" "$(seconds "$(largest "$(cat ./*/installed-ms)")") s"
  ((took < 60000)) || fail "enrolling took more than 60 s"
  ctl status
}

install_controller() {
  install master "$(deb rackhaven-controller old "$native")"
  install master "$(deb rackhaven-ctl old "$native")"
  waits master rackhaven-controller "rackhaven-controller init"
  configure_controller
  on master rackhaven-controller init --cluster-name lab --endpoint rack.lan:7443 --endpoint "$network.10:7443" \
    >>master/init.log 2>&1 || fail "init: $(<master/init.log)"
  wait_until 30 answers || fail "the controller does not answer after init"
}

# Before it is told what to do, a daemon waits: it has not failed, and systemctl status says what to do.
waits() {
  local board=$1 daemon=$2 words=$3 state said
  state=$(unit "$board" "$daemon" ActiveState)
  [[ $state == active ]] || fail "$daemon on $board is $state before it has anything to do"
  says_what_to_do() {
    said=$(on "$board" systemctl status --no-pager --full "$daemon") || true
    [[ $said == *"Status: "*"$words"* ]]
  }
  wait_until 10 says_what_to_do || fail "systemctl status of $daemon on $board does not say what to do: $said"
}

enrol() {
  local name=$1 begun command role=worker
  begun=$(now_ms)
  install "$name" "$(deb rackhaven-agent old "${arch[$name]}")"
  echo $(($(now_ms) - begun)) >"$name/installed-ms"
  waits "$name" rackhaven-agent "ctl node invite"
  [[ $name == pi-* ]] || role=$name
  command=$(ctl node invite --name "$name" --label "role=$role" 2>>"$name/apt.log") || fail "no invitation for $name"
  # As it was printed.
  on "$name" sh -c "$command" >>"$name/apt.log" 2>&1 || fail "$name could not join: $(tail -n 2 "$name/apt.log")"
}

# Times are short, so that nobody has to wait; the order of things is that of any rack.
configure_controller() {
  local name
  printf 'lab\n' >master/root/etc/rackhaven/ups.password
  on master chown root:rackhaven /etc/rackhaven/ups.password
  on master chmod 640 /etc/rackhaven/ups.password
  cat >master/root/etc/rackhaven/controller.toml <<CONFIG
endpoints = ["rack.lan:7443", "$network.10:7443"]

[power]
expected_seconds = 8
margin_seconds = 15
mains_hold_seconds = 1
mains_stable_seconds = 3
restore_charge_percent = 30

[[power.ups]]
name = "ups@localhost"
user = "rackhaven"
password_file = "/etc/rackhaven/ups.password"

[[power.stage]]
name = "workers"
nodes = ["role=worker"]
needs = ["nas"]

[[power.stage]]
name = "storage"
nodes = ["nas"]

[power.wake]
$(for name in "${wakable[@]}"; do printf '%s = "%s"\n' "$name" "$(mac "${number[$name]}")"; done)
CONFIG
}
