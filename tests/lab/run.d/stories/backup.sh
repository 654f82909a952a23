# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2317 # Shared with tests/lab/run.d/inside, or called by wait_until.
# Part of tests/lab/run: boards save themselves to the NAS; a power cut comes while one does.

story_backup() {
  local name=${workers[0]}
  without_engine
  each install_engine "${rack[@]}"
  give_key "$name"
  make_job "$name" system ''
  save_and_restore "$name"
  cut_short "$name"
}

install_engine() { install "$1" "$(deb rackhaven-backup new "${arch[$1]}")"; }

# What the newest save of a job was: its outcome, and by what it was begun.
newest_save() {
  ctl backup history "$2" --node "$1" -o json | jq -r '[.runs[] | select(.action == "save")][0] | "\(.outcome) \(.trigger)"'
}
archives_of() { ctl backup archives "$2" --node "$1" -o json | jq '.archives | length'; }
reload_agent() { on "$1" systemctl reload rackhaven-agent; }

# A job whose engine is missing says what to install.
without_engine() {
  local name=${workers[1]}
  on "$name" mkdir -p /etc/rackhaven/backup.d
  on "$name" touch /etc/rackhaven/backup.d/lacking.toml
  reload_agent "$name"
  says_so() { ctl backup jobs --node "$name" 2>/dev/null | grep -q 'install rackhaven-backup'; }
  wait_until 20 says_so || fail "ctl backup jobs does not say that the engine of $name is missing"
  on "$name" journalctl --quiet --unit rackhaven-agent --grep 'install rackhaven-backup' >/dev/null ||
    fail "the journal of $name does not say that the engine is missing"
  on "$name" rm /etc/rackhaven/backup.d/lacking.toml
}

# The board gets into the NAS by ssh, as docs/backup.md has it.
give_key() {
  local name=$1
  on "$name" ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/backup
  printf 'nas %s\n' "$(cut -d' ' -f1,2 nas/root/etc/ssh/ssh_host_ed25519_key.pub)" >"$name/root/root/.ssh/backup_hosts"
  on nas mkdir -p -m 700 /root/.ssh
  printf 'restrict %s\n' "$(<"$name/root/root/.ssh/backup.pub")" >>nas/root/root/.ssh/authorized_keys
}

# make_job BOARD JOB MORE: saves the system to the NAS.
make_job() {
  cat >"$1/root/etc/rackhaven/backup.d/$2.toml" <<JOB
sources = ["/etc", "/usr/bin", "/usr/lib"]
repository = "ssh://root@nas/srv/backups"
ssh_key = "/root/.ssh/backup"
known_hosts = "/root/.ssh/backup_hosts"
$3
JOB
  reload_agent "$1"
  job_known() { ctl backup jobs --node "$1" -o json 2>/dev/null | jq -e --arg job "$2" '.jobs[] | select(.name == $job and .problem == null)' >/dev/null; }
  wait_until 20 job_known "$1" "$2" || fail "the job $2 of $1 is not known: $(ctl backup jobs)"
}

save_and_restore() {
  local name=$1 begun
  begun=$(now_ms)
  ctl backup run system --node "$name" --follow >>ctl.log 2>&1 || fail "ctl backup run: $(tail -n 5 ctl.log)"
  figure "ctl backup run of $(du -sm --total "$name"/root/usr/{bin,lib} | tail -n 1 | cut -f1) MB to the NAS by ssh, until its end" \
    "$(seconds $(($(now_ms) - begun))) s"
  [[ $(newest_save "$name" system) == 'ok order' ]] || fail "it is told as $(newest_save "$name" system)"
  ctl backup verify system --node "$name" --follow >>ctl.log 2>&1 || fail "ctl backup verify: $(tail -n 5 ctl.log)"
  on "$name" mkdir /root/back
  ctl backup restore system /etc --node "$name" --to /root/back --follow --yes >>ctl.log 2>&1 ||
    fail "ctl backup restore: $(tail -n 5 ctl.log)"
  on "$name" diff --recursive --no-dereference /etc /root/back/etc >>ctl.log || fail "/etc has come back otherwise: $(tail -n 5 ctl.log)"
  figure "/etc, verified and restored by ctl to another folder" "the same"
  # Plain tools do, too.
  on nas sh -c 'rm -rf /root/plain && mkdir /root/plain && cd /root/plain && zstd -dc /srv/backups/*/system/*-full.tar.zst |
    tar --xattrs --xattrs-include="*" --acls --numeric-owner -xpf - etc' || fail "zstd and tar do not restore it"
  diff --recursive --no-dereference "$name/root/root/back/etc" nas/root/root/plain/etc >>ctl.log || fail "zstd and tar restore something else"
  on "$name" rm -r /root/back
  on nas rm -r /root/plain
}

# A run that is due each minute and takes longer than the battery lasts.
cut_short() {
  local name=$1 unit_name quiet=yes outage said
  make_job "$name" slow $'schedule = "minutely"\nlimits = { bytes_per_second = 500000, memory_mib = 128, nice = 12 }'
  runs() { unit_name=$(on "$name" systemctl list-units --plain --no-legend 'rackhaven-backup-*' | cut -d' ' -f1) && [[ -n $unit_name ]]; }
  wait_until 90 runs || fail "the job slow has not begun by itself"
  said=$(on "$name" systemctl show --property=Nice,MemoryMax,OOMScoreAdjust,IOSchedulingClass,CPUWeight,IOWeight "$unit_name" | sort | paste -sd' ')
  [[ $said == 'CPUWeight=20 IOSchedulingClass=3 IOWeight=10 MemoryMax=134217728 Nice=12 OOMScoreAdjust=500' ]] ||
    fail "the unit of the run has other limits: $said"
  lose_mains
  go_down
  [[ -z $(on_disk "$name" slow '*-full.tar.zst') ]] || fail "an archive has appeared that was never finished"
  come_back
  confirmed
  quiet=
  figure "a run is a unit of its own" "$said"
  said=$(ctl backup history slow --node "$name" -o json | jq -r '[.runs[] | select(.action == "save")][-1].outcome')
  [[ $said == stopped ]] || fail "the run that the power cut met is told as $said"
  outage=$(ctl power history -o json | jq '.outages[0].number')
  said=$(ctl power history --outage "$outage" -o json |
    jq -r --arg name "$name" '[.. | .events? // empty | .[] | select(.node == $name and (.message | contains("stop-backups"))) | .message] | last')
  figure "power cut while it runs: its step, and the outcome of the run" "$said; stopped"
  # It is made up for, and now nothing holds it up.
  make_job "$name" slow 'schedule = "minutely"'
  redone() { [[ $(newest_save "$name" slow) == ok* ]]; }
  if ! wait_until 30 redone; then
    # It goes at its old pace.
    on "$name" systemctl stop 'rackhaven-backup-*'
    wait_until 120 redone || fail "the run is not made up for: $(ctl backup history slow)"
  fi
  figure "back again, the run is made up for" "$(newest_save "$name" slow)"
  rm "$name/root/etc/rackhaven/backup.d/slow.toml"
  reload_agent "$name"
}

# The NAS's disk is looked at from outside, for the NAS is off.
on_disk() { find nas/root/srv/backups/"$1/$2" -name "$3" 2>/dev/null; }
