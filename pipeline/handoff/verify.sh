#!/bin/sh
# Checks the bag beside this file: every digest, every name, every seal, every time.
#
#     sh verify.sh            exit status 0: it holds; 1: it does not
#
# Needs what every Debian has (sh, coreutils, findutils, sed, grep, awk) and openssl 3.
# expected.txt says what the bag held when this kit was made; roots/ holds the roots of
# the timestamping authorities. Neither came from the bag, and nothing in the bag is
# ever run or taken for a root. Writes nothing but in a temporary folder.

set -u
export LC_ALL=C OPENSSL_CONF=/dev/null
unset CDPATH GREP_OPTIONS POSIXLY_CORRECT
here=$(cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf -- "$work"' EXIT
trap 'exit 1' HUP INT TERM
: >"$work/wrong"

# Names come from strangers: what could move a cursor is not printed.
say() { printf '%s\n' "$*" | tr -d '\000-\010\013-\037\177'; }
wrong() {
  say "WRONG  $*"
  echo x >>"$work/wrong"
}
each() { # SENTENCE: one line of standard input each, the first ten
  sed -n 1,10p | while IFS= read -r line; do wrong "$1: $line"; done
}
stop() {
  say "REFUSED: $*"
  exit 1
}
expected() { # WORD [NUMBER]: the values that expected.txt has for it
  sed -n "s/^$1${2:+ $2} //p" "$here/expected.txt"
}

for program in openssl sha256sum find sed grep awk sort comm; do
  command -v "$program" >/dev/null || stop "$program is not installed"
done
[ -f "$here/expected.txt" ] || stop "expected.txt is not beside this file"
bag=$(expected bag)
{ [ -n "$bag" ] && cd -- "$here/$bag"; } 2>/dev/null || stop "the bag is gone: $bag"
say "Checking $bag"

# ------------------------------------------------- 1. nothing but files and folders
find . ! -type f ! -type d -print | each "neither a file nor a folder"

# ----------------------------------------- 2. every digest of every list, both ways
# A manifest (RFC 8493 2.1.3) to what coreutils read: names begin with ./ and are
# decoded; one with a line break cannot be told in a list, and is refused.
listed() { # MANIFEST
  tr -d '\r' <"$1" | sed -e 's/^\([0-9A-Fa-f]*\)[[:blank:]][[:blank:]]*/\1  .\//' \
    -e 's/%25/%/g'
}
names_of() { listed "$1" | cut -d' ' -f3- | sort; }
sum_of() { case $1 in blake2b) echo b2sum ;; *) echo "$1sum" ;; esac; }

check_list() { # MANIFEST ALGORITHM
  program=$(sum_of "$2")
  if ! command -v "$program" >/dev/null; then
    wrong "$1: there is no $program here to check it"
    return
  fi
  grep -Ei '%0[AD]' "$1" | each "$1: a name with a line break"
  names_of "$1" | grep -E '/\.{0,2}/|/\.{0,2}$' | each "$1: a name that leads elsewhere"
  names_of "$1" | uniq -d | each "$1: named twice"
  listed "$1" | "$program" --quiet --strict -c - >"$work/all" 2>/dev/null || {
    grep -v '^$' "$work/all" >"$work/said" || echo "it does not hold" >"$work/said"
    each "$1" <"$work/said"
  }
}

lists=0
for manifest in manifest-*.txt tagmanifest-*.txt; do
  [ -f "$manifest" ] || continue
  algorithm=${manifest##*manifest-}
  check_list "$manifest" "${algorithm%.txt}"
  lists=$((lists + 1))
done
ls manifest-*.txt >/dev/null 2>&1 || wrong "the bag has no manifest"
ls tagmanifest-*.txt >/dev/null 2>&1 || wrong "the bag has no tag manifest"

find ./data -type f 2>/dev/null | sort >"$work/payload"
for manifest in manifest-*.txt; do
  [ -f "$manifest" ] || continue
  names_of "$manifest" | comm -23 "$work/payload" - | each "not in $manifest"
done
find . -path ./data -prune -o -type f ! -name 'tagmanifest-*.txt' -print |
  grep -v '^\./seal-[0-9][0-9][0-9][0-9]\.' | sort >"$work/tags"
for manifest in tagmanifest-*.txt; do
  [ -f "$manifest" ] || continue
  names_of "$manifest" | comm -23 "$work/tags" - | each "not in $manifest"
done
files=$(wc -l <"$work/payload")
say "       $((files)) files of payload, $lists lists of digests"

# --------------------------------------------------------- 3. the files of the seals
numbers=$(expected seal | cut -d' ' -f1 | sort -rn)
for number in $numbers; do
  seal=$(printf 'seal-%04d' "$number")
  printf '%s\n' "$seal.json" "$seal.json.p7s"
  for name in $(expected token "$number") $(expected unchecked "$number"); do
    printf '%s\n' "$seal.$name.tsq" "$seal.$name.tsr" "$seal.$name.pem"
  done
  expected list "$number"
done | sort >"$work/seals"
find . -maxdepth 1 -name 'seal-*' | sed 's/^\.\///' | sort >"$work/found"
comm -23 "$work/seals" "$work/found" | each "gone since the kit was made"
comm -13 "$work/seals" "$work/found" | each "no file of the seals"

# ------------------------------------------------- 4. each seal, from last to first
# What a later seal covers is proven to have existed at that seal's time.
file_digest() { [ -f "$2" ] && "$1" <"$2" | cut -d' ' -f1; }
seconds_of() { # TOKEN: its time as seconds since 1970
  when=$(openssl ts -reply -in "$1" -text 2>/dev/null | sed -n 's/^Time stamp: //p')
  [ -n "$when" ] &&
    date -u -d "$(say "$when" | sed 's/\(:[0-9][0-9]\)\.[0-9]*/\1/')" +%s 2>/dev/null
}
end_of() { date -u -d "$(openssl x509 -in "$1" -noout -enddate | sed 's/.*=//')" +%s; }
told_time() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ; }

token_holds() { # DATA TOKEN-WITHOUT-ENDING NAME CERTIFICATES SECONDS
  for asked in "-data $1" "-queryfile $2.tsq"; do
    openssl ts -verify ${asked%% *} "${asked#* }" -in "$2.tsr" -attime "$5" \
      -CAfile "$here/roots/$3.pem" -untrusted "$4" >/dev/null 2>"$work/why" || return 1
  done
}
why() { # what openssl said: of a certificate, or else of the token
  sed -n 's/.*Verify error:\(.*\)/\1/p; s/.*error:[0-9A-Fa-f]*:[^:]*:[^:]*:\([^:]*\):.*/\1/p' \
    "$work/why" | sort -u | grep -v -x -e 'EVP lib' -e '' | paste -s -d ';' - | sed 's/;/, /g'
}

check_token() { # DATA TOKEN-WITHOUT-ENDING NAME PROVEN-BY: sets time, or nothing
  time=
  openssl ts -reply -in "$2.tsr" -token_out -out "$work/token" 2>/dev/null
  openssl pkcs7 -inform DER -in "$work/token" -print_certs 2>/dev/null |
    sed -n '/^-----BEGIN/,/^-----END/p' >"$work/chain.pem"
  if [ -e "$2.pem" ] && ! cmp -s "$work/chain.pem" "$2.pem"; then
    wrong "$2.pem: not the certificates of its token"
  fi
  if token_holds "$1" "$2" "$3" "$work/chain.pem" "$now"; then
    basis="its certificate is valid today"
  elif [ -n "$4" ] && token_holds "$1" "$2" "$3" "$work/chain.pem" "$4"; then
    basis="its certificate has ended; a later seal proves that it existed by $(told_time "$4")"
  else
    wrong "$2.tsr: the timestamp does not hold: $(why)"
    return
  fi
  time=$(seconds_of "$2.tsr") || time=
  [ -n "$time" ] || wrong "$2.tsr: its time cannot be read"
}

subjects() { # STATEMENT: sha256, sha512 and name of each file that it seals
  awk '/^ "subject": \[$/ {on = 1} /^ \]/ {on = 0}
    on && /"sha256":/ {a = $2} on && /"sha512":/ {b = $2}
    on && /"name":/ {print a, b, $2}' "$1" | tr -d '",'
}

check_subjects() { # STATEMENT NUMBER
  subjects "$1" >"$work/subjects"
  while read -r sha256 sha512 name; do
    [ "$(file_digest sha256sum "$name")" = "$sha256" ] &&
      [ "$(file_digest sha512sum "$name")" = "$sha512" ] ||
      wrong "$name: not as $1 has it"
  done <"$work/subjects"
  {
    ls tagmanifest-*.txt
    awk -v n="$2" 'substr($0, 6, 4) + 0 < n + 0' "$work/found"
    expected list "$2"
  } 2>/dev/null | sort >"$work/due"
  cut -d' ' -f3 "$work/subjects" | sort | comm -13 - "$work/due" |
    each "$1 does not cover"
}

now=$(date +%s)
proven=
for number in $numbers; do
  seal=$(printf 'seal-%04d' "$number")
  signer=$(expected seal "$number")
  [ -f "$seal.json.p7s" ] && [ -f "$seal.json" ] || continue
  earliest=$proven
  : >"$work/times"
  for name in $(expected token "$number"); do
    check_token "$seal.json.p7s" "$seal.$name" "$name" "$proven"
    [ -n "$time" ] || continue
    echo "$(told_time "$time") by $name; $basis" >>"$work/times"
    [ -n "$earliest" ] && [ "$earliest" -le "$time" ] || earliest=$time
  done

  # Whose signature it is; then whether that certificate held when it was made.
  rm -f "$work/signer.pem"
  openssl cms -verify -noverify -binary -inform DER -content "$seal.json" \
    -in "$seal.json.p7s" -signer "$work/signer.pem" -out /dev/null 2>/dev/null ||
    wrong "$seal.json.p7s: the signature does not hold"
  whose=
  if [ -s "$work/signer.pem" ]; then
    print=$(openssl x509 -in "$work/signer.pem" -noout -fingerprint -sha256 |
      sed 's/.*=//' | tr -d : | tr A-F a-f)
    if [ "$print" = "$signer" ]; then
      whose=$(openssl x509 -in "$work/signer.pem" -noout -subject | sed 's/^subject= *//')
    else
      wrong "$seal.json.p7s: signed by $print, and the kit was made of a bag signed by $signer"
    fi
  fi
  proven=
  if [ -n "$whose" ]; then
    at=${earliest:-$now}
    if openssl cms -verify -binary -cades -inform DER -content "$seal.json" \
      -in "$seal.json.p7s" -CAfile "$work/signer.pem" -partial_chain -no-CApath \
      -no-CAstore -attime "$at" -out /dev/null 2>/dev/null; then
      check_subjects "$seal.json" "$number"
      proven=$earliest
      say "       $seal: signed by $whose"
      say "       certificate sha256:$signer"
      if [ -z "$earliest" ]; then
        say "       no time is proven by others: it is asserted by the signer's machine only"
      elif [ "$now" -gt "$(end_of "$work/signer.pem")" ]; then
        say "       the signer's certificate has ended since; it held at $(told_time "$earliest")"
      fi
    else
      wrong "$seal.json.p7s: the signer's certificate did not hold at $(told_time "$at")"
    fi
  fi
  while IFS= read -r line; do say "       existed at $line"; done <"$work/times"
  for name in $(expected pending "$number"); do
    say "       $name had been asked for a timestamp and had not given it"
  done
  for name in $(expected unchecked "$number"); do
    say "       the timestamp of $name is not checked: no roots of theirs are in this kit"
  done
  for listing in $(expected list "$number"); do
    sed 's/  /  .\//' "$listing" | b2sum --quiet --strict -c - >"$work/said" 2>/dev/null ||
      each "$listing" <"$work/said"
  done
done

# --------------------------------------- 5. the plan, stamped before the first request
plan=data/metadata/submissionDocumentation
for name in $(expected plan); do
  statement=$(find . -maxdepth 1 -name 'seal-0001.json')
  for file in "$plan/commitment.json" "$plan/plan.$name.tsr"; do
    grep -q -F "$(file_digest sha256sum "$file")" "${statement:-/dev/null}" ||
      wrong "$file: the seal does not name it"
  done
  check_token "$plan/commitment.json" "$plan/plan.$name" "$name" "$proven"
  [ -z "$time" ] || say "       begun after $(told_time "$time"), by $name; $basis"
done

for root in "$here"/roots/*.pem; do
  [ -f "$root" ] || continue
  say "       roots/${root##*/}: $(openssl x509 -in "$root" -noout -fingerprint -sha256)"
done
[ -n "$numbers" ] || say "       no seal: who packed this bag, and when, is not shown"

count=$(wc -l <"$work/wrong")
[ "$count" -eq 0 ] || stop "$bag is not as it was when this kit was made"
say "VERIFIED: $bag is as it was packed; compare the fingerprints with those you were given"
