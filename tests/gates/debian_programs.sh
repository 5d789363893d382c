#!/bin/sh
# Puts the programs on the machine that the tests use for real: Alertmanager, Prometheus and pgbouncer. On Debian as
# root they are installed; elsewhere this says what is missing, and the tests that need it skip by name. Nothing is left
# running.
set -u
missing=""
command -v prometheus-alertmanager >/dev/null 2>&1 || command -v alertmanager >/dev/null 2>&1 ||
    missing="$missing prometheus-alertmanager"
command -v prometheus >/dev/null 2>&1 || missing="$missing prometheus"
command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || missing="$missing pgbouncer"
[ -n "$missing" ] || exit 0

say_missing() {
    echo "==> NOT INSTALLED:$missing ($1). The tests that need it are skipped, by name, at the end." >&2
}

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    say_missing "it can be installed here only on Debian, as root"
    exit 0
fi

echo "==> Installing the programs that the tests run against:$missing"
# Without this file Debian starts a service as soon as it is installed.
policy=/usr/sbin/policy-rc.d
ours=""
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && ours=yes
fi
trap '[ -z "$ours" ] || rm -f "$policy"' EXIT

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# shellcheck disable=SC2086 # one word a package
if apt-get update -qq >"$log" 2>&1 && apt-get install -y -qq --no-install-recommends $missing >>"$log" 2>&1; then
    if [ -d /run/systemd/system ]; then
        # shellcheck disable=SC2086
        systemctl disable --quiet --now $missing 2>/dev/null || echo "==> systemctl could not disable$missing" >&2
    fi
    missing=""
else
    tail -n 5 "$log" >&2
    say_missing "apt-get failed"
fi
rm -f "$log"
