# shellcheck shell=bash
# shellcheck disable=SC2154 # Shared with packaging/quickstart.
# Part of packaging/quickstart: starts and ends what runs in the background.

# Starts a daemon in the background; its process id is in $!. Ctrl-C does not reach it, so that it is stopped in its
# turn; should this script be killed, the kernel stops it.
start() {
  local log=$1
  shift
  setsid setpriv --pdeathsig TERM -- "$@" </dev/null >>"$log" 2>&1 &
}

# Asks processes to end, waits 5 s for them, then insists.
end() {
  local waited pid
  (($#)) || return 0
  kill "$@" 2>/dev/null || true
  for ((waited = 0; waited < 50; waited++)); do
    kill -0 "$@" 2>/dev/null || break
    sleep 0.1
  done
  for pid in "$@"; do
    if kill -0 "$pid" 2>/dev/null; then kill -9 "$pid" || true; fi
    wait "$pid" 2>/dev/null || true
  done
}

# What is wrong is on the last lines of a daemon's log.
lost() {
  tail -n 5 "$1" >&2
  fail "$2; see $dir/$1"
}

# Waits up to a minute until a test succeeds.
wait_until() {
  local waited
  for ((waited = 0; waited < 300; waited++)); do
    if "$@"; then return; fi
    [[ -z $controller ]] || kill -0 "$controller" 2>/dev/null || lost controller.log "the controller has ended"
    sleep 0.2
  done
  return 1
}

# Runs a step that has little to say, and shows what it said if it fails.
quietly() {
  local said
  said=$("$@" 2>&1) || { printf '%s\n' "$said" >&2; return 1; }
}

free_port() {
  local port
  for _ in {1..50}; do
    port=$((20000 + RANDOM % 10000))
    if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  fail "no free port was found"
}

# Text as a string of TOML.
toml() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}
