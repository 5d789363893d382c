#!/bin/sh
# Prints the first Python on the path that is 3.11, 3.12 or 3.13 and can make a virtual environment.
set -u
too_old_or_new="no Python was found"
for name in python3 python3.13 python3.12 python3.11 python; do
    command -v "$name" >/dev/null 2>&1 || continue
    found=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case $found in
    3.11 | 3.12 | 3.13) ;;
    *)
        too_old_or_new="$name is $found"
        continue
        ;;
    esac
    if "$name" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$name"
        exit 0
    fi
    too_old_or_new="$name cannot make virtual environments (on Debian: apt-get install python3-venv)"
done
echo "remediator needs Python 3.11, 3.12 or 3.13 with venv: $too_old_or_new" >&2
exit 1
