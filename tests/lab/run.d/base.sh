# shellcheck shell=bash
# shellcheck disable=SC2154 # Shared with tests/lab/run.
# Part of tests/lab/run: the root file system that boards start from, and the packages.

base_suite=bookworm
base_packages=systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,iproute2,nut-server,nut-client,rsync,procps,zstd

# Makes it once for an architecture; it is in base_ARCHITECTURE.
make_base() {
  local arch=$1 key folder through=()
  key=$(sha256sum <<<"$base_suite $base_packages" | cut -c-12)
  folder=$root/target/lab/base-$arch-$key
  if [[ ! -d $folder ]]; then
    say "making the root file system of the boards, $arch" >&2
    mkdir -p "$root/target/lab"
    rm -rf --one-file-system "$root/target/lab/base-$arch"-*
    # What it mounts on its way is gone with its namespace, whatever ends it.
    [[ $arch == "$native" ]] || through=("$parts/foreign")
    apart "${through[@]}" mmdebstrap --quiet --variant=minbase --architectures="$arch" --include="$base_packages" "$base_suite" \
      "$folder.new" || return
    mv "$folder.new" "$folder"
  fi
  declare -gx "base_$arch=$folder"
}

# What stands in for K3s, as the files of a release, in the folder $1.
make_k3s() {
  local target_dir
  mkdir -p "$1"
  (cd "$root" && cargo build --quiet --locked --package rackhaven-tests --bin k3s-double)
  target_dir=$(cd "$root" && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  strip -o "$1/k3s" "$target_dir/debug/k3s-double"
  # Nobody unpacks them; so long that a step takes a while.
  { printf '\x28\xb5\x2f\xfd' && head -c 16M /dev/urandom; } >"$1/k3s-airgap-images-$native.tar.zst"
  (cd "$1" && sha256sum -- * >"sha256sum-$native.txt")
}

# Two versions of all packages, so that there is something to upgrade to.
build_debs() {
  debs=$root/target/lab/debs
  rm -rf "$debs"
  mkdir -p "$debs"
  say "building the packages"
  "$root/packaging/build" --arch "$native" --out "$debs"
  "$root/packaging/build" --arch "$native" --version 99.0.0 --out "$debs"
  if emulates_arm64; then "$root/packaging/build" --arch arm64 --out "$debs" rackhaven-agent rackhaven-backup rackhaven-k3s; fi
}
