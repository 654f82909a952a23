# shellcheck shell=bash
# shellcheck disable=SC2154 # Shared with tests/lab/run.d/inside.
# Part of tests/lab/run: the boards. Each has a folder: its disk, its root, its power switch, its journal.

# Each board has a disk of its own, an image of ext4 that goes read-only at the first error, as on an SD card.
disk_size=2G
# What a container may do; whoever enters one may do no more. By number: what this system has no name for is dropped too.
may=0,1,2,3,4,5,6,7,8,9,10,11,13,15,18,19,21,22,24,26,27,28,29,30,31

# Makes a board, switched off; $2 is the last part of its address. With a fourth argument its root is the disk itself.
make_board() {
  local name=$1 number=$2 base=base_${3:-$native} plain=${4:-}
  base=${!base}
  mkdir -p "$name/disk" "$name/root"
  truncate -s "$disk_size" "$name/image"
  if [[ -n $plain ]]; then truncate -s +1G "$name/image"; fi
  mkfs.ext4 -q "$name/image"
  mount -o loop,errors=remount-ro "$name/image" "$name/disk"
  if [[ -n $plain ]]; then
    cp -a "$base/." "$name/disk"
    mount --bind "$name/disk" "$name/root"
  else
    mkdir "$name/disk/upper" "$name/disk/work"
    mount -t overlay overlay -o "lowerdir=$base,upperdir=$name/disk/upper,workdir=$name/disk/work" "$name/root"
  fi
  furnish "$name" "$name/root" "${3:-$native}"
  ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$name/root/etc/ssh/ssh_host_ed25519_key"
  [[ ! -e hosts ]] || cp hosts "$name/root/etc/hosts"
  plug "$name" "$number"
  mkdir "$group/$name"
  mkfifo "$name/power"
  echo off >"$name/state"
  "$parts/board" "$name" "$group/$name" </dev/null >>"$name/console" 2>&1 &
}

# What a board has otherwise than a fresh Debian.
furnish() {
  local name=$1 etc=$2/etc daemon unit
  printf '%s\n' "$name" >"$etc/hostname"
  tr -d - </proc/sys/kernel/random/uuid >"$etc/machine-id"
  rm -f "$etc"/ssh/ssh_host_* "$etc/resolv.conf"
  # Journals outlive a power cut, and drop nothing.
  mkdir -p "$2/var/log/journal" "$etc/systemd/journald.conf.d"
  printf '[Journal]\nStorage=persistent\nSystemMaxUse=16M\nRateLimitBurst=0\n' >"$etc/systemd/journald.conf.d/lab.conf"
  # Of NUT nothing runs unless a board is given a UPS; nothing is fetched or checked while somebody measures.
  systemctl --root "$2" --quiet disable nut-server.service nut-driver-enumerator.service nut-driver-enumerator.path \
    nut-driver.target nut.target
  systemctl --root "$2" --quiet mask nut-monitor.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
    e2scrub_reap.service
  # The id of a container's boot is a file mounted into /proc, which is not in the /proc that a service in a sandbox gets.
  echo 'C /run/boot-id - - - - /proc/sys/kernel/random/boot_id' >"$etc/tmpfiles.d/lab.conf"
  for daemon in agent controller stop-record; do
    mkdir -p "$etc/systemd/system/rackhaven-$daemon.service.d"
    printf '[Service]\nBindReadOnlyPaths=-/run/boot-id:/proc/sys/kernel/random/boot_id\n' \
      >"$etc/systemd/system/rackhaven-$daemon.service.d/lab.conf"
  done
  # The emulator of another processor knows no credentials, which these may have and need not.
  [[ $3 != "$native" ]] || return 0
  for unit in systemd-sysusers systemd-tmpfiles-setup-dev systemd-tmpfiles-setup; do
    mkdir "$etc/systemd/system/$unit.service.d"
    printf '[Service]\nLoadCredential=\n' >"$etc/systemd/system/$unit.service.d/lab.conf"
  done
}

switch_on() { echo on >"$1/power"; }
# Pulls the plug of a board, whatever it does.
pull() { echo cut >"$1/power"; }

is_off() { [[ $(<"$1/state") == off ]]; }
is_on() { [[ $(<"$1/state") == on ]]; }

# The board's process 1, as this machine numbers it.
leader() {
  local nspawn child
  nspawn=$(cat "$1/nspawn" 2>/dev/null) || return
  for child in $(pgrep -P "$nspawn"); do
    if grep -q '^NSpid:.*[[:space:]]1$' "/proc/$child/status" 2>/dev/null; then
      echo "$child"
      return
    fi
  done
  return 1
}

# Runs a command on a board, as its root.
on() {
  local pid
  pid=$(leader "$1") || return
  shift
  nsenter --target "$pid" --all -- setpriv --bounding-set "-all,+cap_${may//,/,+cap_}" -- \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    TERM="${TERM:-dumb}" DEBIAN_FRONTEND=noninteractive "$@"
}

# Whether its systemd has started all that it is to start; whether that went well is not asked.
is_up() {
  is_on "$1" && [[ $(on "$1" systemctl is-system-running 2>/dev/null) == @(running|degraded) ]]
}
are_up() { local name; for name; do is_up "$name" || return; done; }

# When a board last came to a state, ms.
since() { awk -v what="$2" '$2 == what { at = $1 } END { print at }' "$1/power.log"; }
