#!/bin/sh
# A trial with no Python in it: reads its parameters from a file, writes its results to another.
# The file holds one JSON object, such as {"x": 3, "y": 0.5}; a real script would use jq.
parameter() {
    tr -d ' {}"\n' <"$TUNE_PARAMETER_FILE" | tr ',' '\n' | sed -n "s/^$1://p"
}
report() { # kind, value
    printf '{"type":"%s","value":%s}\n' "$1" "$2" >>"$TUNE_CHANNEL_FILE"
}

x=$(parameter x)
y=$(parameter y)
for step in 1 2 3; do
    report intermediate "$(awk "BEGIN {print ($x - 3)^2 + ($y + 1)^2 + 1 / $step}")"
done
report final "$(awk "BEGIN {print ($x - 3)^2 + ($y + 1)^2}")"
