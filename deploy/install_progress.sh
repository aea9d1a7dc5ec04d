#!/usr/bin/env bash
# Reads what pip prints, and says how far it is; in a terminal in one line, which is written over.
# usage: pip install -r FILE | install_progress.sh FILE
set -euo pipefail
all=$(grep -c '^[[:alnum:]]' "$1")
count=0
while IFS= read -r line; do
    read -r what name _ <<<"$line" || true
    case $what in
        Ignoring) # is not for this system
            all=$((all - 1))
            continue
            ;;
        Collecting | Requirement) count=$((count + 1)) ;;
        Downloading) ;;
        Installing) name="unpacking them" ;;
        *) continue ;;
    esac
    if [ -t 1 ]; then
        printf '\r\033[K  %d of %d packages  %.40s' "$count" "$all" "${name##*/}"
    elif [ "$what" = Installing ] || { [ "$what" = Collecting ] && ((count % 50 == 0)); }; then
        printf '  %d of %d packages\n' "$count" "$all"
    fi
done
[ ! -t 1 ] || printf '\r\033[K  %d packages\n' "$count"
