# shellcheck shell=bash
# shellcheck disable=SC2154 # Shared with tests/lab/run.d/inside.
# Part of tests/lab/run: who is in the rack, and the fleet that is made of it.

rack=() boards=() workers=() wakable=()
declare -A number=() arch=()

# Names the boards, and boots all: workers, a NAS, and the master. The NAS and one worker are PCs that have to be woken.
make_rack() {
  local count=$1 other=$2 place name begun plain
  # shellcheck disable=SC2034 # Others ask it.
  wakable=(nas pi-1)
  for ((place = 1; place < count; place++)); do workers+=("pi-$place"); done
  boards=("${workers[@]}" nas)
  rack=(master "${boards[@]}")
  {
    printf '127.0.0.1 localhost\n'
    for place in "${!rack[@]}"; do
      name=${rack[place]}
      number[$name]=$((10 + place))
      arch[$name]=$native
      printf '%s %s\n' "$network.$((10 + place))" "$name"
    done
    printf '%s rack.lan\n' "$network.10"
  } >hosts
  if [[ $other != - ]]; then arch[${workers[-1]}]=$other; fi
  start_power
  begun=$(now_ms)
  for name in "${rack[@]}"; do
    plain=
    # What goes wrong with a disk must be seen where the root is one.
    [[ $name != pi-2 ]] || plain=yes
    make_board "$name" "${number[$name]}" "${arch[$name]}" $plain
    switch_on "$name"
  done
  wait_until 120 are_up "${rack[@]}" || fail "not all boards have booted"
  say "${#rack[@]} machines run, after $(seconds $(($(now_ms) - begun))) s: ${rack[*]}"
  serve_ups master
}

# The package's file in a version: old or new (the same if there is only one).
deb() {
  local name=$1 which=$2 for_arch=$3 file files
  mapfile -t files < <(
    for file in debs/"$name"_*_"$for_arch".deb; do
      printf '%s %s\n' "$(dpkg-deb -f "$file" Version)" "${file##*/}"
    done | sort -V | cut -d' ' -f2
  )
  if [[ $which == old ]]; then echo "${files[0]}"; else echo "${files[-1]}"; fi
}

# Installs a package's file on a board, as its admin would; nobody answers questions there.
install() {
  local board=$1 file=$2
  shift 2
  on "$board" sh -c 'cd /debs && exec apt-get install --yes --quiet "$@"' - "$@" "./$file" \
    </dev/null >>"$board/apt.log" 2>&1 || { tail -n 20 "$board/apt.log" >&2; fail "installing $file on $board"; }
}

ctl() { on master ctl "$@" </dev/null; }

answers() { ctl whoami >/dev/null 2>&1; }

# Whether the controller says of all these that they are in a state.
all_are() {
  local wanted=$1 said name
  shift
  said=$(ctl status -o json 2>/dev/null | jq -r '.nodes[] | "\(.name) \(.state)"') || return
  for name; do grep -qx "$name $wanted" <<<"$said" || return; done
}

unit() { on "$1" systemctl show --property "$3" --value "$2"; }

# What enrols a board, as printed.
invite() { ctl node invite --name "$1" --label "role=$2" 2>/dev/null; }

# Whether these are up by what they told in the boot that they are in.
are_back() {
  local name
  all_are up "$@" || return
  for name; do
    [[ $(ctl node show "$name" -o json | jq -r .facts.boot_id) == "$(on "$name" cat /proc/sys/kernel/random/boot_id)" ]] || return
  done
}

# How the run of the agent before this one ended, by what it told the controller.
last_run_is() {
  local said
  said=$(ctl node show "$1" -o json | jq -r '.last_run.ending // "nothing"')
  [[ $said == "$2" ]] || fail "$1 says that its last run ended $said, not $2"
}

# Where the controller's events have come to.
position() { ctl events --limit 1 -o json | jq .position; }

# What was told of a node since a position, a line each: time, severity, kind, message.
told_of() {
  ctl events --node "$1" -o json |
    jq -r --argjson since "$2" 'select(.position > $since) | "\(.time) \(.severity) \(.kind) \(.message)"'
}
has_told() { told_of "$1" "$2" | grep -q " $3 "; }

# When something was last told since, ms.
told_at() { date -d "$(told_of "$1" "$2" | grep " $3 " | tail -n 1 | cut -d' ' -f1)" +%s%3N; }

how_to_play() {
  cat <<TEXT

${bold}In another shell, as root:${plain}
    cd $PWD
    ./enter master ctl status --watch
    ./enter pi-1                    # a shell on a board
    ./enter mains off               # and on; or low, which also empties the battery
    ./enter pull pi-2               # its plug; ./enter switch-on pi-2 puts it in again
    ./enter master ctl power status --watch

TEXT
  say "running until Ctrl-C"
}
