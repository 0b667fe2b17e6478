#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# isolate.sh OUTPUT GLOBALS RENAMES ARCHIVE...
# One object of whole archives in which only the names of the file GLOBALS (wildcards allowed) stay visible: client, control and dataplane
# each have a session_end(), and one process must hold all three. RENAMES (objcopy's "old new" lines, or -) redirects
# what the part calls outside of itself to the simulation's own version of it.
set -e
output=$1
globals=$2
renames=$3
shift 3
${LD:-ld} -r -o "$output.whole" --whole-archive "$@"
[ "$renames" = - ] || ${OBJCOPY:-objcopy} --redefine-syms="$renames" "$output.whole"
${OBJCOPY:-objcopy} --wildcard --keep-global-symbols="$globals" "$output.whole" "$output"
rm -f "$output.whole"
