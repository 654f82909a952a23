# shellcheck shell=bash
# shellcheck disable=SC2154,SC2317 # Shared with packaging/quickstart, or called by wait_until.
# Part of packaging/quickstart: a UPS. A real NUT server with a simulated UPS behind it, all of it in the folder ups;
# NUT as this machine has it is left alone.

# Where NUT has its daemons. What is in /sbin does nothing unless NUT is set up on this machine.
nut_program() {
  local folder
  for folder in /lib/nut /usr/lib/nut /usr/libexec/nut; do
    if [[ -x $folder/$1 ]]; then
      echo "$folder/$1"
      return
    fi
  done
  fail "$1 of NUT is not there"
}

# Starts it; $1 is the port that it is served at, $2 how long the battery lasts, seconds.
start_ups() {
  local port=$1 seconds=$2 as=()
  # The driver's socket must have room in the 107 bytes that Unix leaves for its name.
  ((${#dir} <= 80)) || fail "$dir is too long a name for a UPS to be served from"
  export NUT_CONFPATH=$dir/ups/etc NUT_STATEPATH=$dir/ups/run NUT_ALTPIDPATH=$dir/ups/run
  rm -rf ups
  mkdir -p ups/etc ups/run
  cat >ups/etc/ups.conf <<CONFIG
[ups]
driver = dummy-ups
port = "$dir/ups/ups.dev"
mode = dummy-loop
pollinterval = 1
CONFIG
  printf 'LISTEN 127.0.0.1 %s\nSTATEPATH "%s/ups/run"\n' "$port" "$dir" >ups/etc/upsd.conf
  printf 'demonstration\n' >ups/password
  printf '[rackhaven]\npassword = demonstration\nupsmon primary\n' >ups/etc/upsd.users

  echo on >ups/mains
  start ups/log "$root/packaging/quickstart.d/battery" "$seconds"
  others+=($!)
  wait_until test -e ups/ups.dev || lost ups/log "the battery tells nothing"
  # NUT gives up root for a user of its own, who may not read this folder.
  ((EUID != 0)) || as=(-u root)
  start ups/log "$(nut_program dummy-ups)" -a ups -F "${as[@]}"
  others+=($!)
  wait_until test -e ups/run/dummy-ups-ups || lost ups/log "the UPS's driver does not come up"
  start ups/log "$(nut_program upsd)" -F "${as[@]}"
  others+=($!)
  ups_answers() { [[ $(upsc "ups@127.0.0.1:$port" ups.status 2>/dev/null) == OL* ]]; }
  wait_until ups_answers || lost ups/log "the UPS is not served"
}
