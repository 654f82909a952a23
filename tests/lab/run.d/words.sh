# shellcheck shell=bash
# Part of tests/lab/run: what it says.

bold='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi

say() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }

# Milliseconds; the clock of this machine, which nobody here sets.
now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# Milliseconds as seconds with one decimal.
seconds() { printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100)); }
