# shellcheck shell=bash
# shellcheck disable=SC2154,SC2317 # Shared with tests/lab/run.d/inside, or called by wait_until.
# Part of tests/lab/run: plugs are pulled, machines hang, cables are cut. On mains nobody goes for that.

# Five heartbeats of 2 s unheard, and what it takes to look.
down_limit_ms=12000

story_lost() {
  plug_pulled
  hung
  cables_cut
}

# From $2 on, until a board is told as down.
told_as_down() {
  wait_until 30 all_are down "$1" || fail "$1 is not told as down"
  took=$(($(now_ms) - $2))
  ((took <= down_limit_ms)) || fail "$1 is told as down after $(seconds "$took") s only"
}

plug_pulled() {
  local name=${workers[0]} begun took
  begun=$(now_ms)
  pull "$name"
  told_as_down "$name" "$begun"
  figure "plug pulled: to being told as down" "$(seconds "$took") s"
  wait_until 10 is_off "$name" || fail "$name still runs"
  switch_on "$name"
  wait_until 60 are_back "$name" || fail "$name is not back"
  last_run_is "$name" node_lost
  figure "plug pulled, and back: its last run is told as" "node_lost"
}

hung() {
  local name=${workers[1]} begun took
  begun=$(now_ms)
  echo 1 >"$group/$name/payload/cgroup.freeze"
  told_as_down "$name" "$begun"
  figure "machine hangs, its address still answers: to being told as down" "$(seconds "$took") s"
  echo 0 >"$group/$name/payload/cgroup.freeze"
  wait_until 30 all_are up "$name" || fail "$name is not up again"
}

# First a board's, then the master's, which all others lose with it.
cables_cut() {
  local name=${workers[1]} begun took before
  before=$(cat ./*/power.log | wc -l)
  begun=$(now_ms)
  cable "$name" down
  told_as_down "$name" "$begun"
  cable "$name" up
  wait_until 60 all_are up "$name" || fail "$name is not up again"
  cable master down
  wait_until 30 all_are down "${boards[@]}" || fail "the boards are not told as down without the master's cable"
  cable master up
  wait_until 60 all_are up "${rack[@]}" || fail "not all are up again"
  phase_is normal || fail "a lost network has begun an outage"
  (($(cat ./*/power.log | wc -l) == before)) || fail "somebody went: $(tail -n 1 ./*/power.log)"
  figure "cable of a board, then the master's, cut on mains until told: machines that went" "0"
}
