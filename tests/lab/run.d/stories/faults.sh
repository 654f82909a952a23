# shellcheck shell=bash
# shellcheck disable=SC2154,SC2317 # Shared with tests/lab/run.d/inside, or called by wait_until.
# Part of tests/lab/run: boards that are ill still obey, and are reported.

# From what befell a board to the first word of it: the next sample, each 5 s, has it; and what it takes to look.
report_limit_ms=6000

story_faults() {
  local late=()
  disk_error
  disk_full
  out_of_memory
  ((${#late[@]} == 0)) || fail "$(printf '%s; ' "${late[@]}")"
}

# Waits for the first word: a problem of the node that matches, or an event since a position. Prints how long it took
# since $4, ms, and what was said.
first_word() {
  local name=$1 pattern=$2 since=$3 begun=$4
  said_something() {
    said=$( {
      ctl status -o json | jq -r --arg name "$name" '.nodes[] | select(.name == $name) | .problems[]'
      told_of "$name" "$since" | cut -d' ' -f3-
    } 2>/dev/null | grep -Em1 -e "$pattern")
  }
  wait_until 30 said_something || fail "nothing is told of $name: nothing matches $pattern"
  took=$(($(now_ms) - begun))
}

judge() {
  figure "$1: from it to the first word (${said:0:60})" "$(seconds "$took") s"
  ((took <= report_limit_ms)) || late+=("$1: the first word came after $(seconds "$took") s")
}

# An ordered shutdown still ends in the board's own power-off.
still_obeys() {
  local name=$1 begun
  begun=$(now_ms)
  ctl power shutdown --node "$name" --reason "tests/lab" --yes >>ctl.log 2>&1 || true
  wait_until 60 is_off "$name" || fail "$name does not obey a shutdown: $(tail -n 5 ctl.log)"
  [[ $(tail -n 1 "$name/power.log") == *powered-off ]] || fail "$name did not switch itself off: $(tail -n 1 "$name/power.log")"
  figure "$2: from the order to switched off" "$(seconds $(($(since "$name" powered-off) - begun))) s"
}

back_again() {
  switch_on "$1"
  wait_until 60 is_up "$1" || fail "$1 has not booted again"
  wait_until 30 are_back "$1" || fail "$1 is not up again"
}

# The kernel finds an error on the disk, as on a worn SD card, and lets nobody write any more.
disk_error() {
  local name=pi-2 since device begun said took
  since=$(position)
  device=$(findmnt -no SOURCE "$name/disk")
  begun=$(now_ms)
  echo 1 >"/sys/fs/ext4/${device#/dev/}/trigger_fs_error"
  ! on "$name" touch /var/tmp/written 2>/dev/null || fail "$name can still write"
  first_word "$name" 'read-only|cannot be written|Read-only' "$since" "$begun"
  judge "root file system read-only"
  still_obeys "$name" "root file system read-only"
  umount "$name/root" "$name/disk"
  let_go() { [[ -z $(losetup --associated "$name/image") ]]; }
  wait_until 20 let_go || fail "the disk of $name is still in use"
  e2fsck -fy "$name/image" >>fsck.log 2>&1 || true
  mount -o loop,errors=remount-ro "$name/image" "$name/disk"
  mount --bind "$name/disk" "$name/root"
  back_again "$name"
}

disk_full() {
  local name=${workers[0]} since begun said took
  since=$(position)
  # shellcheck disable=SC2016 # The board expands it.
  on "$name" sh -c 'fallocate -l "$(df --output=avail -B1 /var/tmp | tail -n 1)" /var/tmp/fill
    dd if=/dev/zero of=/var/tmp/fill1 bs=1M; dd if=/dev/zero of=/var/tmp/fill2 bs=512' >/dev/null 2>&1 || true
  begun=$(now_ms)
  first_word "$name" 'disk|full|No space' "$since" "$begun"
  judge "root file system full"
  still_obeys "$name" "root file system full"
  rm -f "$name"/root/var/tmp/fill*
  back_again "$name"
}

# The kernel kills the agent for want of memory, where this machine can hold it short; else somebody does.
out_of_memory() {
  local name=nas since begun pid how said took
  since=$(position)
  pid=$(unit "$name" rackhaven-agent MainPID)
  starve "$name"
  gone() { [[ $(unit "$name" rackhaven-agent MainPID) != "$pid" ]]; }
  wait_until 30 gone || fail "the agent of $name lives on ($how)"
  begun=$(now_ms)
  first_word "$name" 'agent.started' "$since" "$begun"
  judge "agent killed by $how"
  last_run_is "$name" agent_killed
  still_obeys "$name" "after its agent was killed by $how"
  back_again "$name"
}

starve() {
  local inside
  inside=$(agent_of "$1")
  if grep -qw memory "$group/$1/payload/cgroup.controllers"; then
    how="the OOM killer"
    on "$1" systemctl set-property --runtime rackhaven-agent.service MemoryMax=256K
  elif [[ -n $memory_group ]] && mkdir "$memory_group"; then
    how="the OOM killer"
    echo "$inside" >"$memory_group/cgroup.procs"
    # What it has is not counted, what it wants from now on is.
    echo 0 >"$memory_group/memory.limit_in_bytes"
  else
    how="SIGKILL"
    kill -9 "$inside"
  fi
}

# The agent's process, as this machine numbers it.
agent_of() {
  local pid
  for pid in $(pgrep -f '^/usr/bin/rackhaven-agent run$'); do
    [[ $(readlink "/proc/$pid/ns/pid") != "$(readlink "/proc/$(leader "$1")/ns/pid")" ]] || { echo "$pid"; return; }
  done
  return 1
}
