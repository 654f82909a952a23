# shellcheck shell=bash
# Part of tests/lab/run: the network of the rack. Nobody else sees it, so that any addresses will do.

network=10.90.7
switch_address=$network.1

make_switch() {
  mkdir -p /run/netns
  ip link set lo up
  ip link add switch type bridge
  ip address add "$switch_address/24" brd + dev switch
  ip link set switch up
}

mac() { printf '02:00:00:00:52:%02x' "$1"; }

# A place in the network: the last part of its address is $2.
plug() {
  local name=$1 number=$2
  ip netns add "$name"
  ip link add "v-$name" type veth peer name eth0 netns "$name"
  ip link set "v-$name" master switch
  ip -n "$name" link set eth0 address "$(mac "$number")"
  ip -n "$name" address add "$network.$number/24" brd + dev eth0
  ip -n "$name" link set lo up
  ip -n "$name" link set eth0 up
}

# The cable of a board, by day: up or down.
cable() { ip link set "v-$1" "$2"; }
