# shellcheck shell=bash
# What the lab tells its user.

STEP=0
STEPS=0

say() { printf '%s\n' "$*"; }

fail() {
    printf 'lab: %s\n' "$*" >&2
    exit 1
}

# A step of `prepare`: its line is begun by the first progress and ended when the work is done.
progress() {
    if ((STEPS > 0)); then printf '[%d/%d] %s ' "$STEP" "$STEPS" "$*"; else printf '%s ' "$*" >&2; fi
}

progress_end() {
    if ((STEPS > 0)); then printf '%s\n' "$*"; else printf '%s\n' "$*" >&2; fi
}
