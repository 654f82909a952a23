# shellcheck shell=bash
# shellcheck disable=SC2154 # Shared with tests/lab/run.d/inside.
# Part of tests/lab/run: what systemd makes of the units' sandboxes.

story_hardening() {
  local daemon
  for daemon in rackhaven-agent rackhaven-controller rackhaven-stop-record; do
    figure "exposure of $daemon.service, of 10" \
      "$(on master systemd-analyze security --no-pager "$daemon.service" | sed -n 's/.*Overall exposure level for .*: \([0-9.]* [A-Z]*\).*/\1/p')"
  done
}
