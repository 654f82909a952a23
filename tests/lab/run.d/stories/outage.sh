# shellcheck shell=bash
# shellcheck disable=SC2154,SC2317 # Shared with tests/lab/run.d/inside, or called by wait_until.
# Part of tests/lab/run: the mains fails, all go down in order by their own systemd, and come back.

story_outage() {
  single_restarts
  lose_mains
  go_down
  come_back
  confirmed
}

# Told by the controller, and by hand.
single_restarts() {
  local name=${workers[0]} begun
  begun=$(now_ms)
  ctl node reboot "$name" --yes >>ctl.log 2>&1 || fail "ctl node reboot $name: $(tail -n 2 ctl.log)"
  wait_until 60 has_restarted "$name" "$begun" || fail "$name has not restarted as it was told"
  wait_until 60 are_back "$name" || fail "$name is not up again"
  figure "ctl node reboot: from the order to up again" "$(seconds $(($(now_ms) - begun))) s"
  last_run_is "$name" clean

  begun=$(now_ms)
  on "$name" systemctl reboot
  wait_until 60 has_restarted "$name" "$begun" || fail "$name has not restarted by hand"
  wait_until 60 are_back "$name" || fail "$name is not up again"
  last_run_is "$name" clean
}

has_restarted() { [[ $(since "$1" restarted) -gt $2 ]]; }
