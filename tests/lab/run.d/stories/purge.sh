# shellcheck shell=bash
# shellcheck disable=SC2154,SC2317 # Shared with tests/lab/run.d/inside, or called by wait_until.
# Part of tests/lab/run: what is left of the packages when they are purged.

# What changes all the same, and why: regular expressions of paths.
exceptions() {
  cat <<'PATHS'
debs|ups                            the lab's own
root|tmp|var/tmp                    of whoever runs a command there
var/log                             logs of apt and dpkg, the journal
var/lib/(dpkg|apt)|var/cache/(apt|debconf|ldconfig)  what dpkg and apt know
var/lib/systemd/(random-seed|timers|linger|catalog)  of systemd itself
etc/(passwd|group|shadow|gshadow|subuid|subgid)-?    looked at below
etc/\.pwd\.lock                     the lock of those
PATHS
}
# The account rackhaven stays, as those of packages of Debian do: its number must not become somebody else's.
accounts() { grep -v '^rackhaven:' "$1/root/etc/passwd" "$1/root/etc/group" | sort; }

# Every file of a board as it is on its disk: path, type, mode, owner, size; of configuration the contents too.
inventory() {
  local others
  others=$(exceptions | sed 's/ .*//' | paste -sd'|')
  (
    cd "$1/root" || exit
    find . -xdev -regextype posix-extended -regex "\./($others)" -prune -o -type d -printf '%p %m %U:%G\n' -o \
      -printf '%p %y %m %U:%G %s %l\n'
    find etc -xdev -regextype posix-extended -regex "$others" -prune -o -type f -exec md5sum {} +
  ) | sort
  accounts "$1"
}

# A cluster of one node, and its end.
run_k3s() {
  ip -n "$1" route replace default via "$switch_address"
  put_release "$1"
  { on "$1" ctl k3s artifacts add --version "$k3s_release" "${release_files[@]}" &&
    on "$1" ctl k3s init "$1" --fix; } </dev/null >>"$1/apt.log" 2>&1 || fail "no K3s on $1: $(tail -n 3 "$1/apt.log")"
}
leave_k3s() {
  on "$1" ctl k3s leave "$1" --yes --no-drain </dev/null >>"$1/apt.log" 2>&1 || fail "$1 cannot leave: $(tail -n 3 "$1/apt.log")"
}

# By the agent and by hand; the job is the admin's, who takes it away again.
save_itself() {
  local job=$1/root/etc/rackhaven/backup.d/job.toml
  printf 'sources = ["/etc"]\nrepository = "/var/tmp/repository"\n' >"$job"
  on "$1" systemctl reload rackhaven-agent
  saves() { on "$1" ctl backup run job --node "$1" --follow >>"$1/apt.log" 2>&1; }
  wait_until 30 saves "$1" || fail "$1 has not saved itself: $(tail -n 3 "$1/apt.log")"
  on "$1" rackhaven-backup run --job /etc/rackhaven/backup.d/job.toml >>"$1/apt.log" 2>&1 || fail "no backup by hand: $(tail -n 3 "$1/apt.log")"
  rm "$job"
}

# A board that has had nothing of ours becomes a fleet of its own, and then has had enough.
story_purge() {
  local name=spare package left packages=(rackhaven-agent rackhaven-backup rackhaven-controller rackhaven-ctl rackhaven-k3s)
  make_board "$name" 99
  echo "$network.99 $name" >>"$name/root/etc/hosts"
  switch_on "$name"
  wait_until 60 is_up "$name" || fail "$name has not booted"
  inventory "$name" >before
  for package in rackhaven-controller rackhaven-ctl rackhaven-backup rackhaven-k3s rackhaven-agent; do
    install "$name" "$(deb "$package" new "$native")"
  done
  on "$name" rackhaven-controller init --cluster-name spare --endpoint "$network.99:7443" >>"$name/apt.log" 2>&1 ||
    fail "init on $name"
  spare_answers() { on "$name" ctl whoami >/dev/null 2>&1; }
  wait_until 20 spare_answers || fail "the controller of $name does not answer"
  on "$name" sh -c "$(on "$name" ctl node invite 2>/dev/null)" >>"$name/apt.log" 2>&1 || fail "$name could not join itself: $(tail -n 3 "$name/apt.log")"
  spare_up() { on "$name" ctl status -o json | jq -e '.nodes[0].state == "up"' >/dev/null; }
  wait_until 20 spare_up || fail "$name is not up in its own fleet"
  save_itself "$name"
  run_k3s "$name"
  inventory "$name" >used
  leave_k3s "$name"

  on "$name" apt-get remove --yes --quiet "${packages[@]}" >>"$name/apt.log" 2>&1 ||
    fail "removing: $(tail -n 5 "$name/apt.log")"
  on "$name" test -e /var/lib/rackhaven/controller/ca.key -a -e /etc/rackhaven/agent.toml ||
    fail "remove has taken state or configuration away"
  on "$name" apt-get purge --yes --quiet "${packages[@]}" >>"$name/apt.log" 2>&1 ||
    fail "purging: $(tail -n 5 "$name/apt.log")"
  inventory "$name" >after
  ! on "$name" test -e /run/rackhaven-agent || fail "purge has left /run/rackhaven-agent"
  left=$(diff before after) || fail "purge has left something: $left"
  figure "paths that the packages and what they kept added; of these left after purge" \
    "$(comm -13 before used | wc -l); 0"
  pull "$name"
}
