# shellcheck shell=bash
# shellcheck disable=SC2154 # Shared with tests/lab/run.d/inside.
# Part of tests/lab/run: waiting, judging, and what was measured.

# Waits at most $1 seconds until a test succeeds.
wait_until() {
  local until=$(($(now_ms) + $1 * 1000))
  shift
  until "$@"; do
    (($(now_ms) < until)) || return 1
    sleep 0.05
  done
}

# Says what is wrong, with the last words of all boards, and ends the rack.
fail() {
  local name
  # Where several boards fail at once, the first speaks for all.
  mkdir failed 2>/dev/null || exit 1
  {
    for name in "${rack[@]:-trial}"; do
      printf '\n--- %s, which is %s\n' "$name" "$(cat "$name/state" 2>/dev/null)"
      tail -n 3 "$name/power.log" 2>/dev/null || true
      journalctl --directory "$name/root/var/log/journal" --no-pager --quiet -n "${journal_lines:-8}" -o short-precise \
        -u 'rackhaven-*' -u nut-server 2>/dev/null || tail -n 5 "$name/console" || true
    done
    if [[ ${#rack[@]} -gt 0 ]] && is_on master; then
      printf '\n--- ctl\n'
      on master ctl status || true
      on master ctl events | tail -n 25 || true
    fi
    printf '\nlab: %s\n' "$*"
  } >&2
  # Somebody wants to look.
  if [[ ${keep:--} != - ]]; then
    how_to_play
    sleep infinity
  fi
  exit 1
}

# What was measured: the story, what, and how much. What a story does by the way has no figures: quiet.
figure() {
  [[ -z ${quiet:-} ]] || return 0
  printf '%s|%s|%s\n' "$story" "$1" "$2" >>measured
  printf '    %s: %s\n' "$1" "$2"
}

figures() {
  local story what much
  printf '\n%sWhat was measured%s\n' "$bold" "$plain"
  while IFS='|' read -r story what much; do
    printf '%-9s  %-90s %s\n' "$story" "$what" "$much"
  done <measured
}

# The largest of numbers.
largest() { printf '%s\n' "$@" | sort -n | tail -n 1; }

# Does something for each of the boards, for all at once.
each() {
  local does=$1 name jobs=() job failed=
  shift
  for name; do
    "$does" "$name" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || failed=yes; done
  # It has said what is wrong.
  [[ -z $failed ]] || exit 1
}
