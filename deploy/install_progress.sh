#!/usr/bin/env bash
# Reads what pip prints, and says how far it is; in a terminal in one line, which is written over.
# usage: pip install -r FILE | install_progress.sh FILE
set -euo pipefail
all=$(grep -c '^[[:alnum:]]' "$1")
count=0
is_done=''
while IFS= read -r line; do
    read -r what name _ <<<"$line" || true
    case $what in
        Ignoring) # is not for this system
            all=$((all - 1))
            continue
            ;;
        Collecting) count=$((count + 1)) ;;
        Requirement) # already satisfied: click==8.5.1 in ...
            count=$((count + 1))
            name=${line#*: }
            name=${name%% *}
            ;;
        Downloading) ;;
        Installing) name="unpacking them" ;;
        Successfully)
            is_done=yes
            continue
            ;;
        *) continue ;;
    esac
    if [ -t 1 ]; then
        printf '\r\033[K  %d of %d packages  %.40s' "$count" "$all" "${name##*/}"
    elif [ "$what" = Installing ] || { [ "$what" = Collecting ] && ((count % 50 == 0)); }; then
        printf '  %d of %d packages\n' "$count" "$all"
    fi
done
# If it has failed, pip says why, in a line of its own.
if [ -t 1 ]; then
    [ -z "$is_done" ] || printf '\r\033[K  %d packages' "$count"
    echo
fi
