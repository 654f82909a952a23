# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2317 # Shared with tests/lab/run.d/inside, or called by wait_until.
# Part of tests/lab/run: a K3s cluster of the rack's boards. K3s itself is the double of the stories, under each board's
# own systemd; what installs it is the packaged engine.

k3s_release=v1.31.4+k3s1
release_files=("/root/release/k3s" "/root/release/k3s-airgap-images-$native.tar.zst" "/root/release/sha256sum-$native.txt")
# What carries out an order on a board.
k3s_order=rackhaven-k3s-order.service

# A board in this rack has no way out, of which K3s wants one.
furnish_for_k3s() {
  ip -n "$1" route replace default via "$switch_address"
  install "$1" "$(deb rackhaven-k3s new "$native")"
}

# What an admin types about K3s, to its good end.
sequence() { ctl k3s "$@" >>ctl.log 2>&1 || fail "ctl k3s $*: $(tail -n 5 ctl.log)"; }

# How a sequence ended for one node: done or unchanged.
ended() {
  local name=$1
  shift
  ctl k3s "$@" "$name" -o json 2>>ctl.log | jq -r --arg name "$name" '.ended[]? | select(.node == $name) | .result'
}

# Whether so many nodes are Ready and take pods, and no others are known.
cluster_is() {
  [[ $(ctl k3s status -o json 2>/dev/null | jq -r '[.nodes[] | .ready and .schedulable] | "\(map(select(.)) | length) \(length)"') == "$1 ${2:-$1}" ]]
}
wait_for_cluster() { wait_until 60 cluster_is "$@" || fail "not all are Ready: $(ctl k3s status 2>&1)"; }

# Who takes no pods, and who has cordoned it as far as Rackhaven knows.
cordoned() { ctl k3s status -o json | jq -r '[.nodes[] | select(.schedulable | not) | "\(.node) \(.cordoned_by)"] | join(", ")'; }

# How many pods run.
pods() { ctl k3s get pods -o json 2>/dev/null | jq '[.items[] | select(.status.phase == "Running")] | length'; }

# Every path of a board, with type, mode and owner, where K3s and its engine put things; of interfaces the names.
paths_of() {
  (
    cd "$1/root" || exit
    find etc usr/local opt var/lib var/log -xdev \( -path var/log/journal -o -path var/lib/rackhaven -o -path 'var/lib/systemd/*' \) \
      -prune -o -printf '%p %y %m %U:%G %l\n'
  ) | sort
  on "$1" ls /sys/class/net
}

# What a release is made of, for an admin to give to the controller.
put_release() {
  on "$1" mkdir -p /root/release
  on "$1" sh -c 'cp /debs/k3s/* /root/release/'
}

# Deployments whose pods take their time to end, one under a budget.
add_pods() {
  cat >master/root/root/web.yaml <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: default }
spec:
  replicas: 9
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web }, annotations: { double/termination: "700" } }
    spec:
      terminationGracePeriodSeconds: 10
      containers: [{ name: web, image: "registry.lan/web:1" }]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: web, namespace: default }
spec: { minAvailable: 6, selector: { matchLabels: { app: web } } }
YAML
  sequence apply -f /root/web.yaml
  has_pods() { [[ $(pods) == 9 ]]; }
  wait_until 30 has_pods || fail "there are $(pods) pods, not 9: $(ctl k3s get pods 2>&1)"
}
