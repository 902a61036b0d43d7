#!/bin/sh
# A program that creates a folder for each org, hands back the number of its run, the org's plan and its size, and
# often fails: before its work, in the middle, or after it has handed back. $FAILS in a hundred calls fail; of ten
# failures eight ask for another try, one is a crash, one is final. After it has handed back a secret, it shouts it.
cd "$FOLDER" || exit 1
id=$MOLECULE_ORG_ID said=
echo "$1" >>"calls/$id"
run=$(wc -l <"calls/$id")

# Nobody else may be at work on this org. Process ids are used again, so the start of the process counts too.
start() { cut -d" " -f22 "/proc/$1/stat" 2>/dev/null; }
me="$$ $(start $$)"
if other=$(cat "running/$id" 2>/dev/null) && [ "$other" != "$me" ] &&
    [ "$(start "${other% *}")" = "${other#* }" ] &&
    tr '\0' '\n' <"/proc/${other% *}/environ" 2>/dev/null | grep -q "^MOLECULE_ORG_ID=$id\$"; then
    echo "$1 $id" >>overlaps
fi
echo "$me" >"running/$id"

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
case $1 in
deprovision) rm -f "created/$id/slug" ;;
*) mkdir -p "created/$id" ;;
esac
sleep 0.03
stumble 1
case $1 in
deprovision) rm -rf "created/$id" ;;
*)
    echo "$MOLECULE_ORG_SLUG" >"created/$id/slug"
    # What an update had before comes last.
    org=$(sed 's/"previous":.*//')
    size=$(printf %s "$org" | sed -n 's/.*"size":\([0-9][0-9]*\).*/\1/p')
    printf '{"outputs": {"run": "%s", "plan": "%s", "size": "%s"}, "secrets": {"password": "%s", "number": "%s"}}' \
        "$run" "$MOLECULE_ORG_PLAN" "$size" "$MARK-$id-$run" "$run"
    said="with $MARK-$id-$run"
    ;;
esac
stumble 2
rm -f "running/$id"
[ "$1" = deprovision ] || echo "$run" >>"done/$id"
