#!/bin/sh
# Locks power mode and clocks of a Jetson, and puts the former ones back.  Runs on the board:
#   jetson_guard.sh FOLDER SUDO lock MODE FILE SECONDS   exit 3: no clocks stored, 4: not put back, 5: no such mode, 6: no clocks
#   jetson_guard.sh FOLDER SUDO restore                  exit 4: not put back
# While they are locked, a watcher puts them back when FILE, the board's lease, has not changed for SECONDS or is
# another run's: whoever locked them is gone.  It counts its own seconds, so that a set clock does not matter.  FOLDER
# outlives a reboot, and so does the power mode: the next lock or restore puts back what was left over.
set -u
folder=$1 sudo=$2 action=$3
shift 3

mode() {
    $sudo nvpmodel -q </dev/null 2>/dev/null | sed -n '/^NV Power Mode/{n;p;}'
}

token() {
    sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' "$1" 2>/dev/null
}

put_back() {
    [ -f "$folder/former" ] || return 0
    former=$(cat "$folder/former")
    # The clocks first: those that were stored in a mode go with that mode.
    [ ! -f "$folder/clocks.locked" ] || $sudo jetson_clocks --restore "$folder/clocks.locked" >/dev/null 2>&1
    [ "$(mode)" = "$former" ] || $sudo nvpmodel -m "$former" </dev/null >"$folder/said" 2>&1
    if [ "$(mode)" != "$former" ] || ! $sudo jetson_clocks --restore "$folder/clocks.former" >>"$folder/said" 2>&1; then
        echo "the former power mode $former and its clocks are not back: $(cat "$folder/said")" >&2
        return 4
    fi
    rm -f "$folder/clocks.locked" "$folder/clocks.former" "$folder/former" "$folder/said"
    echo "$1 put back mode $former" >>"$folder/log"
}

lock() {
    wanted=$1 watched=$2 seconds=$3
    case $watched in "~/"*) watched=$HOME/${watched#"~/"} ;; esac
    put_back "the next lock" || return 4
    $sudo jetson_clocks --store "$folder/clocks.former" </dev/null >&2 || return 3
    mode >"$folder/former.new"
    mv "$folder/former.new" "$folder/former"
    echo "$$" >"$folder/turn"
    setsid "$0" "$folder" "$sudo" watch "$$" "$watched" "$(token "$watched")" "$seconds" </dev/null >/dev/null 2>&1 9>&- &
    if [ "$(mode)" != "$wanted" ]; then
        said=$($sudo nvpmodel -m "$wanted" </dev/null 2>&1)
        if [ "$(mode)" != "$wanted" ]; then
            put_back "a mode that was not taken" && echo "$said" >&2
            return 5
        fi
    fi
    if ! { $sudo jetson_clocks --store "$folder/clocks.locked" && $sudo jetson_clocks; } </dev/null >&2; then
        put_back "clocks that were not taken"
        return 6
    fi
    echo "locked mode $wanted" >>"$folder/log"
}

watch() {
    turn=$1 watched=$2 word=$3 seconds=$4 last='' silent=0
    while [ -f "$folder/former" ] && [ "$(cat "$folder/turn")" = "$turn" ]; do
        sleep 1
        now=$(cat "$watched" 2>/dev/null)
        case $now in
            "$last") silent=$((silent + 1)) ;;
            *"$word"*) last=$now silent=0 ;;
            *) silent=$((silent + 1)) ;; # somebody else's heartbeat is none
        esac
        if [ "$silent" -ge "$seconds" ]; then
            (
                flock 9
                [ "$(cat "$folder/turn")" = "$turn" ] && put_back "the watcher"
            ) 9>>"$folder/flock"
        fi
    done
}

if [ "$action" = watch ]; then
    watch "$@"
    exit 0
fi
exec 9>>"$folder/flock"
flock 9
case $action in
    lock) lock "$@" ;;
    restore) put_back "a restore" ;;
    *) echo "unknown action $action" >&2 && exit 2 ;;
esac
