# shellcheck shell=bash
# shellcheck disable=SC2154,SC2317 # Shared with tests/lab/run.d/inside, or called by wait_until.
# Part of tests/lab/run: the mains, the UPS and what wakes boards.

# How long the battery carries the rack, seconds. A real one lasts longer; nobody wants to wait for it.
battery_seconds=${LAB_BATTERY_SECONDS:-60}

start_power() {
  local sockets=() name
  printf '%s\n' "${wakable[@]}" >wakable
  echo on >ups/mains
  "$root/packaging/quickstart.d/battery" "$battery_seconds" </dev/null >>battery.log 2>&1 &
  wait_until 10 test -e ups/ups.dev || fail "the battery tells nothing"
  for name in "${rack[@]}"; do sockets+=("$(mac "${number[$name]}")=$name"); done
  "$root/packaging/quickstart.d/strip" "$network.255:9" "${sockets[@]}" </dev/null >>strip.log 2>&1 &
  wait_until 10 test -e strip.port || fail "nothing listens for packets that wake boards: $(<strip.log)"
}

# The UPS, on the board that has its cable: NUT's own packages, with a driver that reads what the battery tells.
serve_ups() {
  local etc=$1/root/etc/nut
  echo MODE=netserver >"$etc/nut.conf"
  printf '[ups]\ndriver = dummy-ups\nport = /ups/ups.dev\nmode = dummy-loop\npollinterval = 1\n' >"$etc/ups.conf"
  echo 'LISTEN 127.0.0.1 3493' >"$etc/upsd.conf"
  printf '[rackhaven]\npassword = lab\nupsmon primary\nactions = SET\ninstcmds = ALL\n' >"$etc/upsd.users"
  on "$1" systemctl enable --quiet --now nut-driver-enumerator.service \
    nut-driver.target nut-server.service nut.target
  ups_answers() { [[ $(on "$1" upsc ups ups.status 2>/dev/null) == OL* ]]; }
  wait_until 20 ups_answers "$1" || fail "the UPS is not served"
}

# The mains of the rack: off, low (off, and the battery is nearly empty) or on. If all are off by then, the battery has run
# empty behind them, and boards that start with their power do so; the others wait to be woken.
mains() {
  local state name
  if [[ $1 == on ]] && all_off; then
    for state in */state; do
      name=${state%/state}
      grep -qx "$name" wakable || switch_on "$name"
    done
  fi
  echo "$1" >ups/mains
}

all_off() { ! grep -qx on ./*/state; }
