# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2317 # Shared with tests/lab/run.d/inside, or called by wait_until.
# Part of tests/lab/run: blank boards become a K3s cluster whoever is killed meanwhile, live through outages whose mains
# comes back at any instant, and leave it again.

story_k3s() {
  local name before members=()
  for name in "${rack[@]}"; do [[ ${arch[$name]} != "$native" ]] || members+=("$name"); done
  each furnish_for_k3s "${members[@]}"
  for name in "${members[@]}"; do paths_of "$name" >"$name/before-k3s"; done
  make_cluster
  kill_at_each_step "${members[@]:1}"
  kill_agent_only "${members[1]}"
  outages_with_cluster
  leave_all
}

# From files of a release to a cluster that is up: what an admin types.
make_cluster() {
  local begun
  put_release master
  begun=$(now_ms)
  sequence artifacts add --version "$k3s_release" "${release_files[@]}"
  sequence init master --fix
  sequence join "${members[@]:1}" --fix
  wait_for_cluster "${#members[@]}"
  figure "files of a release to ${#members[@]} nodes Ready, by three commands (double of K3s)" "$(seconds $(($(now_ms) - begun))) s"
  [[ $(ended "${members[1]}" join) == unchanged ]] || fail "joined again, ${members[1]} is not unchanged"
}

# The engine is held when it has begun a step; then it, the agent and every other time the controller are killed, and the
# same command is given again. By turns a board leaves and joins so, at another step each.
kill_at_each_step() {
  local names=("$@") number=0 step name killed=0 by_itself=0
  local leave=(claim stop processes mounts network rules files forget ready)
  for step in preflight files claim program images configuration unit start ready; do
    name=${names[number % ${#names[@]}]}
    kill_in leave "${leave[number]}" "$name" --yes --no-drain
    same_paths "$name"
    kill_in join "$step" "$name"
    number=$((number + 1))
  done
  wait_for_cluster "${#members[@]}"
  figure "joins and leaves of which agent and engine, at times the controller too, were killed with -9 in each step" "$killed"
  figure "of these that went on by themselves; that the same command ended" "$by_itself; $((killed - by_itself))"
}

# kill_in VERB STEP NODE OPTION...
kill_in() {
  local verb=$1 step=$2 name=$3 asked engine at
  shift 3
  # A leave has not so many steps as a join.
  if [[ $verb == leave && $step == ready ]]; then sequence leave "$name" "$@"; return; fi
  ctl k3s "$verb" "$name" "$@" >>ctl.log 2>&1 &
  asked=$!
  read -r engine at < <("$parts/halt" "$group/$name/payload/system.slice/$k3s_order" "$step" 30) ||
    fail "$verb of $name was not caught in the step $step: $(tail -n 3 ctl.log)"
  [[ $at == "$step" ]] || say "$verb of $name was past $step already: in $at"
  on "$name" systemctl kill --signal=KILL rackhaven-agent.service
  if ((number % 2)); then on master systemctl kill --signal=KILL rackhaven-controller.service; fi
  kill -9 "$engine"
  killed=$((killed + 1))
  if wait "$asked"; then by_itself=$((by_itself + 1)); fi
  wait_until 60 all_are up "$name" || fail "$name is not up again"
  again() { ctl k3s "$@" >>ctl.log 2>&1; }
  wait_until 60 again "$verb" "$name" "$@" || fail "$verb of $name does not end well after a kill in $step: $(tail -n 5 ctl.log)"
}

# A board that has left is as it was.
same_paths() {
  local left
  left=$(diff "$1/before-k3s" <(paths_of "$1")) || fail "$1 has left, and is not as it was: $left"
}

# The unit goes on without its agent; the next run of the agent waits for it and tells what came of it.
kill_agent_only() {
  local name=$1 step engine at asked pid units
  for step in preflight unit; do
    sequence leave "$name" --yes --no-drain
    units=$(units_begun "$name")
    ctl k3s join "$name" >>ctl.log 2>&1 &
    asked=$!
    read -r engine at < <("$parts/halt" "$group/$name/payload/system.slice/$k3s_order" "$step" 30) ||
      fail "the join of $name was not caught in the step $step: $(tail -n 3 ctl.log)"
    pid=$(unit "$name" rackhaven-agent MainPID)
    on "$name" systemctl kill --signal=KILL rackhaven-agent.service
    another() { [[ $(unit "$name" rackhaven-agent MainPID) != @("$pid"|0) ]]; }
    wait_until 20 another || fail "the agent of $name is not started again"
    wait_until 20 are_back "$name" || fail "$name is not up again"
    # It has the order again, and goes nowhere while the engine stands.
    sleep 1.5
    kill -CONT "$engine"
    wait "$asked" || fail "the join of $name did not end well when its agent was killed in $at: $(tail -n 3 ctl.log)"
    (($(units_begun "$name") == units + 1)) || fail "the engine was begun $(($(units_begun "$name") - units)) times for one order"
  done
  wait_for_cluster "${#members[@]}"
  figure "agent alone killed in a join: the engine goes on, the next agent tells its end; engines begun for an order" "1"
}

units_begun() { on "$1" journalctl --quiet --output=cat _PID=1 UNIT="$k3s_order" | grep -c '^Started ' || true; }

# The mains comes back at random instants. What the admin has cordoned stays so; whatever the way down has cordoned, takes
# pods again.
outages_with_cluster() {
  local admins=${members[-1]} seed=${LAB_SEED:-$RANDOM} place count=${LAB_OUTAGES:-4} marked=0 told=()
  RANDOM=$seed
  say "seed of the outages: LAB_SEED=$seed"
  woken_all
  add_pods
  sequence cordon "$admins"
  for ((place = 0; place < count; place++)); do
    mains_back_at $((place % 4))
  done
  ((marked > 0)) || fail "no node was cordoned when the mains came back"
  figure "mains back in $count outages (LAB_SEED=$seed), after" "$(printf '%s, ' "${told[@]}" | sed 's/, $//')"
  figure "of these, nodes were cordoned for the outage as the mains came back; cordoned in the end but by the admin" "$marked; 0"
  sequence uncordon "$admins"
  wait_for_cluster "${#members[@]}"
  as_before
}

# The way down begins soon, and whoever is off is woken, for nothing here takes the power away while there is mains.
woken_all() {
  local name toml=master/root/etc/rackhaven/controller.toml
  cp "$toml" controller.toml
  sed -i 's/^\[power\]$/&\non_battery_seconds = 2/' "$toml"
  for name in "${boards[@]}"; do
    grep -q "^$name = " "$toml" || printf '%s = "%s"\n' "$name" "$(mac "${number[$name]}")" >>"$toml"
  done
  # Of the pods under the budget the master keeps most, who goes last; and each board has one that does not end by itself, for
  # which a quarter of the step is waited.
  printf '\n[power.steps]\ndrain_seconds = 8\nstop_k3s_seconds = 8\n' >>"$toml"
  on master systemctl reload rackhaven-controller
}
as_before() {
  cat controller.toml >master/root/etc/rackhaven/controller.toml
  on master systemctl reload rackhaven-controller
}

# An outage; the mains comes back 0: within the first 2 s of the drain; 1: within 3 s from the first board that is off on;
# 2: when it likes on the whole way; 3: when all are off.
mains_back_at() {
  local begun wait_ms back now quiet=yes
  lose_mains
  case $1 in
    0) wait_until 60 one_drains || fail "nobody drains"; wait_ms=$((RANDOM % 2000)) ;;
    1) wait_until 60 one_is_off || fail "nobody is off"; wait_ms=$((RANDOM % 3000)) ;;
    2) wait_ms=$((2000 + RANDOM % 10000)) ;;
    3) wait_until 120 all_off || fail "not all are off"; wait_ms=$((RANDOM % 1000)) ;;
  esac
  sleep "$(printf '%d.%03d' $((wait_ms / 1000)) $((wait_ms % 1000)))"
  now=$(cordoned 2>/dev/null) || now=
  back=$(now_ms)
  told+=("$(seconds $((back - begun))) s with $(count_off) of ${#rack[@]} off")
  [[ $now != *power/* ]] || marked=$((marked + 1))
  mains on
  # Its power was never away, and nobody can wake the master.
  all_back() {
    if is_off master; then switch_on master; fi
    over && are_back "${rack[@]}"
  }
  wait_until 180 all_back || fail "not all are back, or the outage has not ended"
  wait_until 90 cluster_is $((${#members[@]} - 1)) "${#members[@]}" || fail "after an outage (mains ${told[-1]}): $(ctl k3s status 2>&1)"
  now=$(cordoned)
  [[ $now == "$admins "* && $now != *,* && $now != *power/* ]] || fail "another than $admins is cordoned: $now"
  wait_until 30 has_pods || fail "there are $(pods) pods, not 9: $(ctl k3s get pods -o wide 2>&1)"
}
one_drains() { ctl power status -o json 2>/dev/null | jq -e 'any(.. | objects; .step? == "drain")' >/dev/null; }
count_off() { cat "${rack[@]/%//state}" | grep -cx off || true; }
one_is_off() { (($(count_off) > 0)); }

# All leave, the master last: with it the cluster is gone.
leave_all() {
  local name begun
  begun=$(now_ms)
  sequence delete deployment/web --yes
  sequence leave "${members[@]:1}" master --yes
  figure "ctl k3s leave of all ${#members[@]}" "$(seconds $(($(now_ms) - begun))) s"
  no_cluster() { [[ $(ctl k3s status -o json | jq .configured) == false ]]; }
  wait_until 20 no_cluster || fail "there is a cluster still: $(ctl k3s status)"
  for name in "${members[@]}"; do same_paths "$name"; done
  figure "paths and interfaces that are left or other on boards that have left" "0"
}
