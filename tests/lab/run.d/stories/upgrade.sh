# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2317 # Shared with tests/lab/run.d/inside, or called by wait_until.
# Part of tests/lab/run: packages are replaced under a fleet that goes on.

story_upgrade() {
  if [[ $(deb rackhaven-agent old "$native") == "$(deb rackhaven-agent new "$native")" ]]; then
    say "no upgrade: there is one version only"
    return
  fi
  upgrade_agent
  keep_what_was_edited
  upgrade_controller
  upgrade_on_battery
  downgrade
}

installed() { on "$1" dpkg-query --show --showformat "\${Version}" "$2"; }
version_of() { dpkg-deb -f "debs/$1" Version; }

# From now on, what the controller says of a board is looked at again and again: into the file seen.
watch() {
  : >seen
  while :; do
    ctl status -o json 2>/dev/null | jq -r --arg name "$1" '.nodes[] | select(.name == $name) | .state' >>seen || true
    sleep 0.05
  done &
  watcher=$!
}

end_watch() {
  kill "$watcher"
  wait "$watcher" || true
}

# No alarm was told since, and it was never seen as more than restarting.
was_not_missed() {
  local told
  told=$(told_of "$1" "$2")
  ! grep -E '^[^ ]* critical|node\.down' <<<"$told" || fail "an alarm for $1: $told"
  ! grep -vx up seen | sort -u | grep . || fail "$1 was not seen as up while it was upgraded"
}

upgrade_agent() {
  local name=${workers[0]} since took
  since=$(position)
  watch "$name"
  install "$name" "$(deb rackhaven-agent new "${arch[$name]}")"
  wait_until 20 has_told "$name" "$since" agent.started || fail "the agent of $name has not started after its upgrade"
  end_watch
  was_not_missed "$name" "$since"
  took=$(($(told_at "$name" "$since" agent.started) - $(told_at "$name" "$since" agent.stopped)))
  figure "upgrade of a running agent: from its farewell to its new start, never seen as down" "$took ms"
}

# An upgrade that brings another default than the one that the admin edited, with nobody to ask.
keep_what_was_edited() {
  local name=master file=debs/edited.deb
  echo '# by the admin' >>"$name/root/etc/rackhaven/agent.toml"
  dpkg-deb --raw-extract "debs/$(deb rackhaven-agent new "${arch[$name]}")" edited
  echo '# a new default' >>edited/etc/rackhaven/agent.toml
  dpkg-deb --root-owner-group -Zgzip --build edited "$file" >/dev/null
  install "$name" "${file#debs/}" -o Dpkg::Options::=--force-confold
  rm "$file"
  grep -qx '# by the admin' "$name/root/etc/rackhaven/agent.toml" || fail "the upgrade has replaced an edited agent.toml"
  wait_until 20 all_are up "$name" || fail "$name is not up after its upgrade"
  figure "an edited agent.toml after an upgrade with another default, nobody asked" "kept"
}

upgrade_controller() {
  local since pid job gone=0 back=0
  since=$(position)
  pid=$(unit master rackhaven-controller MainPID)
  install master "$(deb rackhaven-controller new "$native")" &
  job=$!
  # From the first look in vain to the next that is answered.
  while kill -0 "$job" 2>/dev/null; do
    if ctl whoami >/dev/null 2>&1; then
      ((back > 0 || gone == 0)) || back=$(now_ms)
    elif ((gone == 0)); then
      gone=$(now_ms)
    fi
  done
  wait "$job"
  if ((gone > 0 && back == 0)); then
    wait_until 20 answers || fail "the controller does not answer after its upgrade"
    back=$(now_ms)
  fi
  [[ $(unit master rackhaven-controller MainPID) != "$pid" ]] || fail "the upgrade has not restarted the controller"
  install master "$(deb rackhaven-ctl new "$native")"
  wait_until 30 all_are up "${rack[@]}" || fail "not all agents are back after the controller's upgrade"
  ! ctl events -o json | jq -r --argjson since "$since" 'select(.position > $since) | .kind' | grep -x node.down ||
    fail "a node is told as down after the controller's upgrade"
  figure "upgrade of the controller: not answering to ctl; all agents back, none told as down" "$((back - gone)) ms"
}

# An upgrade in the middle of an outage: the board goes with its stage all the same.
upgrade_on_battery() {
  local begun quiet=yes
  lose_mains
  install nas "$(deb rackhaven-agent new "$native")"
  go_down
  come_back
  confirmed
  quiet=
  figure "outage, and an agent is upgraded on battery: machines off in order, confirmed, and back" \
    "${#rack[@]} of ${#rack[@]}"
}

downgrade() {
  local name=${workers[0]} file
  file=$(deb rackhaven-agent old "${arch[$name]}")
  install "$name" "$file" --allow-downgrades
  [[ $(installed "$name" rackhaven-agent) == "$(version_of "$file")" ]] || fail "$name has not got the older version"
  wait_until 20 all_are up "$name" || fail "$name is not up after the downgrade"
  last_run_is "$name" clean
  figure "downgrade of an agent" "up again"
}
