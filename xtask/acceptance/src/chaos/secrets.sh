#!/bin/sh
# A program that hands back the number of its run as an output and as a secret, and often fails: before its work,
# after it, or after it has handed back. $FAILS in a hundred calls fail; of ten failures eight ask for another
# try, one is a crash, one is final. When it fails after it has handed back a secret, it shouts that secret.
cd "$FOLDER" || exit 1
id=$MOLECULE_ORG_ID
echo "$1" >>"runs/$id"
run=$(wc -l <"runs/$id")
secret=$MARK-$id-$run said=

roll=$(od -An -N2 -tu2 /dev/urandom)
kind=$((roll / 300 % 10)) where=$((roll / 3000 % 3)) roll=$((roll % 100))
stumble() {
    [ $roll -lt "$FAILS" ] && [ $where = "$1" ] || return 0
    case $kind in
    8) kill -9 $$ ;;
    9) echo "out of luck for good $said" >&2 && exit 1 ;;
    *) echo "out of luck for now $said" >&2 && exit 75 ;;
    esac
}

stumble 0
sleep 0.02
stumble 1
[ "$1" = deprovision ] ||
    printf '{"outputs": {"run": "%s"}, "secrets": {"password": "%s", "number": "%s"}}' "$run" "$secret" "$run"
said="with $secret"
stumble 2
echo "$run" >>"done/$id"
