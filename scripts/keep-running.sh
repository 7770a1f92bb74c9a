#!/bin/sh
# Process 1 of the operator's container: runs a program, and starts it again when it crashes.
#
# When a container ends its pod is unready at once, and gets no traffic although NGINX, in the other container, serves on.
# So a crash is mended here. A program that ends by itself, or does so again at once, is for the kubelet to see.
#   keep-running PROGRAM [ARGUMENT...]
set -u

SOON=${KEEP_RUNNING_SOON:-20} # seconds: who crashes earlier than this will do so again

child=
ending=
end() {
    ending=1
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}
trap end TERM INT

while :; do
    began=$(date +%s)
    "$@" &
    child=$!
    [ -z "$ending" ] || kill -TERM "$child" 2>/dev/null # the signal came while there was no program to pass it to
    while :; do
        wait "$child"
        status=$?
        # a signal to this process ends the wait, not the program
        kill -0 "$child" 2>/dev/null || break
    done
    child=
    [ -z "$ending" ] || exit "$status"
    if [ "$status" -eq 0 ] || [ "$status" -eq 2 ] || [ $(($(date +%s) - began)) -lt "$SOON" ]; then
        exit "$status"
    fi
    echo "keep-running: $1 ended with status $status, starting it again" >&2
done
