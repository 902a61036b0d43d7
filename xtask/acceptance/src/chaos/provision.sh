#!/bin/sh
# A program that creates a folder for each org, and often fails: before its work, in the middle, or after.
# $FAILS in a hundred calls fail; of ten failures eight ask for another try, one is a crash, one is final.
cd "$FOLDER" || exit 1
id=$MOLECULE_ORG_ID
echo "$1" >>"calls/$id"

# Nobody else may be at work on this org.
if other=$(cat "running/$id" 2>/dev/null) && [ "$other" != $$ ] &&
    tr '\0' '\n' <"/proc/$other/environ" 2>/dev/null | grep -q "^MOLECULE_ORG_ID=$id\$"; then
    echo "$1 $id" >>overlaps
fi
echo $$ >"running/$id"

roll=$(od -An -N2 -tu2 /dev/urandom)
kind=$((roll / 300 % 10)) where=$((roll / 3000 % 3)) roll=$((roll % 100))
stumble() {
    [ $roll -lt "$FAILS" ] && [ $where = "$1" ] || return 0
    case $kind in
    8) kill -9 $$ ;;
    9) echo 'out of luck for good' >&2 && exit 1 ;;
    *) echo 'out of luck for now' >&2 && exit 75 ;;
    esac
}

stumble 0
case $1 in
provision)
    mkdir -p "created/$id"
    sleep 0.05
    stumble 1
    echo "$MOLECULE_ORG_SLUG" >"created/$id/slug"
    ;;
deprovision)
    rm -f "created/$id/slug"
    sleep 0.05
    stumble 1
    rm -rf "created/$id"
    ;;
esac
stumble 2
rm -f "running/$id"
