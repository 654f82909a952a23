# shellcheck shell=bash
# shellcheck disable=SC2154,SC2317 # Shared with tests/lab/run.d/inside, or called by wait_until.
# Part of tests/lab/run: an outage from its beginning to its end.

over() { [[ $(ctl power status -o json 2>/dev/null | jq -r '.phase, .outage') == $'normal\nnull' ]]; }
phase_is() { [[ $(ctl power status -o json 2>/dev/null | jq -r .phase) == "$1" ]]; }

# The mains fails, and the controller has seen it; begun is when.
lose_mains() {
  begun=$(now_ms)
  mains off
  wait_until 20 phase_is on-battery || fail "the controller does not see that the mains is gone"
}

# Until all machines have switched themselves off, as this machine sees it.
go_down() {
  local name workers_at nas_at master_at
  wait_until $((battery_seconds + 120)) all_off || fail "not all are off"
  for name in "${rack[@]}"; do
    (($(since "$name" powered-off) > begun)) || fail "$name did not switch itself off: $(tail -n 1 "$name/power.log")"
  done
  workers_at=$(largest "$(for name in "${workers[@]}"; do since "$name" powered-off; done)")
  nas_at=$(since nas powered-off)
  master_at=$(since master powered-off)
  ((workers_at < nas_at)) || fail "the NAS was off before the last worker"
  ((nas_at < master_at)) || fail "the master was off before the NAS"
  figure "mains off to the last worker's systemd having switched off" "$(seconds $((workers_at - begun))) s"
  figure "mains off to the NAS's" "$(seconds $((nas_at - begun))) s"
  figure "mains off to the master's, all in order" "$(seconds $((master_at - begun))) s"
}

come_back() {
  local begun name
  begun=$(now_ms)
  mains on
  wait_until 60 is_up master || fail "the master has not booted"
  wait_until 180 are_back "${rack[@]}" || fail "not all are back"
  figure "mains on to all ${#rack[@]} up, two of them woken by Wake-on-LAN" "$(seconds $(($(now_ms) - begun))) s"
  wait_until 120 over || fail "the outage has not ended"
  for name in "${rack[@]}"; do last_run_is "$name" clean; done
}

# What the controller wrote down of it.
confirmed() {
  local told name kinds
  told=$(ctl power history --outage "$(ctl power history -o json | jq '.outages[0].number')" -o json)
  for name in "${boards[@]}"; do
    kinds=$(jq -r --arg name "$name" '.. | .events? // empty | .[] | select(.node == $name) | .kind' <<<"$told")
    for kind in node.ordered node.powering-off node.off node.back; do
      grep -qx "$kind" <<<"$kinds" || fail "$name has no $kind in the history of the outage: $(tr '\n' ' ' <<<"$kinds")"
    done
  done
  kinds=$(jq -r '.. | .events? // empty | .[] | select(.kind == "node.missing" or .kind == "node.failed"
    or (.message | test(" (failed|timed out|abandoned) "))) | "\(.node) \(.kind) \(.message)"' <<<"$told")
  [[ -z $kinds ]] || fail "something went wrong on the way: $kinds"
  [[ -n ${quiet:-} ]] || ctl power history --outage "$(ctl power history -o json | jq '.outages[0].number')"
  figure "boards whose power-off was confirmed to the controller" "${#boards[@]} of ${#boards[@]}"
}
