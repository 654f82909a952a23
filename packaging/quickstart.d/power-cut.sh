# shellcheck shell=bash
# shellcheck disable=SC2154 # Shared with packaging/quickstart.
# Part of packaging/quickstart: cuts the mains, shows what comes of it, and judges whether all went well.

# Where a terminal is large enough, ctl draws its page in place below three rows of our own; else lines are printed.
on_screen=
# What a terminal needs for that.
least_rows=20 least_columns=80
columns=
watcher=
snapshot=
declare -A state

power_cut() {
  local number left
  enter_screen
  act "A quiet night. Some boards, a NAS and an old UPS; nobody is in the office." \
    "Its battery would carry them for $battery_seconds s. This is what ctl power status --watch shows:"
  start_watching
  pause 4

  ./mains off
  act "The mains has failed. Nobody is told to go yet: most cuts are over in seconds." \
    "The way down begins when the battery holds just what it takes, and a margin."
  await 30 "the fleet to be on battery" phase_is on-battery
  await 60 "the shutdown to begin" phase_is shutting-down
  number=$(sed -n 's/^ *"number": \([0-9]*\),$/\1/p' <<<"$snapshot" | head -n 1)

  act "It is time. The workers go first: K3s stops, hooks flush, disks are synced." \
    "Each is off only when its controller has heard so, and then hears nothing more."
  await 120 "the workers to be off" all_are off "${names[@]:0:nodes-1}"
  act "All workers are confirmed off. Only now the NAS goes, which they wrote to." \
    "Had one hung, the others would not have waited for it beyond its cap."
  await 120 "the NAS to be off" all_are off nas
  left=$(sed -n 's/^ *"runtime_left_seconds": \([0-9]*\).*/\1/p' <<<"$snapshot" | head -n 1)
  act "All is off and every disk is clean. What is left in the battery may go now." \
    "The controller wrote down what it did before it did it: it would bear a kill."
  pause 4

  ./mains on
  act "The mains is back. Not a node is woken yet: it must be stable for a while," \
    "and the battery charged far enough to carry a second cut."
  await 30 "the mains to be back" phase_is restoring
  await 120 "the NAS to be woken" told node.waking
  act "What went last comes first: the NAS, by Wake-on-LAN, again until it is there." \
    "K3s is held on the workers until what they need is back."
  await 120 "the NAS to be back" all_are back nas
  act "The NAS is there: the workers are woken, and K3s is let go on each." ""
  await 180 "all to be back" phase_is normal
  act "All are up again, and nobody had to come to the office." ""
  pause 3

  stop_watching
  leave_screen
  recount "$number" "${left:-0}"
}

# Says what happens in the rack.
act() {
  if [[ -z $on_screen ]]; then
    echo
    say "$1"
    [[ -z $2 ]] || printf '    %s\n' "$2"
    return
  fi
  title=$1 text=$2
  draw_title
}

# In one write, so that nothing of ctl's comes between.
draw_title() {
  printf '\e[?6l\e[1;1H%s%s%s\e[K\r\n%s%s%s\e[K\r\n\e[K\e[?6h' "$bold" "${title:0:columns}" "$plain" \
    "$dim" "${text:0:columns}" "$plain"
}

enter_screen() {
  local rows
  if [[ -t 1 && ${TERM:-dumb} != dumb ]]; then
    exec 6>&1
    read -r rows columns < <(stty size <&6 2>/dev/null || echo 0 0)
    if ((rows >= least_rows && columns >= least_columns)); then on_screen=yes; fi
  fi
  [[ -n $on_screen ]] || return 0
  title='' text='' resized=
  trap 'resized=yes' WINCH
  printf '\e[?1049h\e[?25l'
  divide_screen
}

# Leaves all rows but the first three to ctl: its "top left" is then below them (DECSTBM, DECOM).
divide_screen() {
  local rows
  read -r rows columns < <(stty size <&6)
  export LINES=$((rows - 3))
  printf '\e[?6l\e[r\e[2J\e[4;%sr\e[?6h' "$rows"
  draw_title
}

leave_screen() {
  if [[ -n $on_screen ]]; then
    stop_watching
    trap - WINCH
    printf '\e[?6l\e[r\e[?25h\e[?1049l'
    on_screen=
    unset LINES
  fi
}

start_watching() {
  setpriv --pdeathsig TERM -- "$built/ctl" power status --watch </dev/null 2>>ctl.log &
  watcher=$!
}

stop_watching() {
  end ${watcher:+"$watcher"}
  watcher=
}

# Waits so many seconds; a new size of the terminal is taken up meanwhile.
pause() {
  local until=$((SECONDS + $1))
  while ((SECONDS < until)); do breathe; done
}

breathe() {
  sleep 0.3
  kill -0 "$controller" 2>/dev/null || { leave_screen; lost controller.log "the controller has ended"; }
  [[ -n $on_screen && -n $resized ]] || return 0
  resized=
  stop_watching
  divide_screen
  start_watching
}

# Waits at most so many seconds until a test of the snapshot succeeds.
await() {
  local until=$((SECONDS + $1)) what=$2
  shift 2
  while look || :; do
    if "$@"; then return; fi
    if ((SECONDS > until)); then
      stop_watching
      leave_screen
      "$built/ctl" power status >&2 || true
      fail "waited in vain for $what; see $dir"
    fi
    breathe
  done
}

# Takes a look at the power of the fleet, and at the state of each node in the outage.
look() {
  local name what
  snapshot=$("$built/ctl" power status -o json 2>>ctl.log) || return
  state=()
  while read -r name what; do
    state[$name]=$what
  done < <(awk -F'"' '$2 == "name" { name = $4 } $2 == "state" { print name, $4 }' <<<"$snapshot")
}

phase_is() { [[ $snapshot == *"\"phase\": \"$1\""* ]]; }

# Whether all of the nodes are in a state.
all_are() {
  local wanted=$1 name
  shift
  for name in "$@"; do [[ ${state[$name]:-} == "$wanted" ]] || return; done
}

# Whether something of this kind has happened.
told() { [[ $snapshot == *"\"kind\": \"$1\""* ]]; }

# Shows the outage as it was recorded, says what was measured, and fails if a node was not off or not back.
recount() {
  local number=$1 left=$2 history off back bad times
  "$built/ctl" power history --outage "$number"
  history=$("$built/ctl" power history --outage "$number" -o json)
  count() { grep -c "\"kind\": \"$1\"" <<<"$history" || true; }
  off=$(count node.off) back=$(count node.back)
  bad=$(($(count node.missing) + $(count node.failed)))
  bad=$((bad + $(grep -cE '"message": "[a-z0-9-]+ (failed|timed out|abandoned) ' <<<"$history" || true)))
  mapfile -t times < <(awk -F'"' '
    $2 == "at_seconds" { at = $3; gsub(/[^0-9.]/, "", at) }
    $2 == "kind" && !($4 in first) { first[$4] = at }
    $2 == "kind" { last[$4] = at }
    END {
      begun = first["outage.trigger"]; mains = first["outage.mains-back"]
      printf "%.0f\n%.1f\n%.1f\n%.1f\n%.1f\n", mains, begun, last["node.off"] - begun, \
        first["node.waking"] - mains, last["node.back"] - mains
    }' <<<"$history")
  printf '\n%sWhat was measured%s\n' "$bold" "$plain"
  # One paragraph, in lines that fit.
  tr '\n' ' ' <<TEXT | fold -s -w 78
The mains was gone for ${times[0]} s. For the first ${times[1]} s nobody was told to go.
Then all $nodes nodes went down in ${times[2]} s, stage by stage: $off confirmed off, $bad steps failed, and the
battery was good for another ${left} s.
With the mains back, it took ${times[3]} s until it was taken for stable and the battery could carry a second cut,
and ${times[4]} s until $back of $nodes were at work again.
Simulated were the machines and the battery; NUT, controller and agents are real.
TEXT
  printf '\n\n'
  ((off == nodes && back == nodes && bad == 0)) || fail "not every node went off confirmed and came back"
}
