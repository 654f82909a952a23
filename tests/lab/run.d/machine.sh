# shellcheck shell=bash
# shellcheck disable=SC2154 # Shared with tests/lab/run.
# Part of tests/lab/run: what the machine must have, and what of it is used.

# Where control groups of version 2 are, also beside those of version 1.
groups() {
  local place
  for place in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    if [[ -e $place/cgroup.procs && -e $place/cgroup.subtree_control ]]; then
      echo "$place"
      return
    fi
  done
  return 1
}

# Says why no rack can be booted here, and then fails.
unfit() {
  local said
  ((EUID == 0)) || { echo "it needs root"; return 1; }
  said=$("$root/packaging/install-missing" e2fsprogs iproute2 jq mmdebstrap mount openssh-client perl-base procps \
    systemd-container util-linux 2>&1) || { echo "${said##*$'\n'}"; return 1; }
  grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || { echo "the kernel has no overlayfs"; return 1; }
  losetup --find >/dev/null 2>&1 || { echo "there are no loop devices"; return 1; }
  groups >/dev/null || { echo "control groups of version 2 are not mounted"; return 1; }
  unshare --mount --net --pid --fork true 2>/dev/null || { echo "no namespaces can be made"; return 1; }
  said=$(mkdir "$(groups)/rackhaven-lab.$$" 2>&1) || { echo "no control group can be made: $said"; return 1; }
  rmdir "$(groups)/rackhaven-lab.$$"
}

# The control group that all boards are in; and the one that can hold memory short, where that is one of version 1.
enter_machine() {
  local name=${lab##*/}
  group=$(groups)/$name
  mkdir "$group"
  for controller in memory pids cpu io; do
    if echo "+$controller" >"$group/cgroup.subtree_control"; then :; fi 2>/dev/null
  done
  memory_group=
  if [[ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ]]; then memory_group=/sys/fs/cgroup/memory/$name; fi
  export group memory_group
}

leave_machine() {
  local each
  # nspawn makes one beside it too, where there is a hierarchy of version 1 for systemd.
  for each in "$group" "$memory_group" "/sys/fs/cgroup/systemd/${lab##*/}"; do
    [[ ! -d $each ]] || find "$each" -depth -type d -exec rmdir {} + || true
  done
}

# Whether arm64 programs can be run here. Says in arm64_missing why not.
emulates_arm64() {
  if [[ $native == arm64 ]]; then
    arm64_missing='this machine is arm64 itself'
    return 1
  fi
  arm64_missing='qemu-user-static cannot be installed'
  "$root/packaging/install-missing" qemu-user-static arch-test || return
  # shellcheck disable=SC2034 # tests/lab/run says it.
  arm64_missing='the kernel runs no foreign programs (binfmt_misc)'
  unshare --mount "$parts/foreign" arch-test arm64 >/dev/null 2>&1
}
