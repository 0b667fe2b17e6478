#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# install_once.sh FILE TO: meson install would write over what the operator made of his configuration.
set -eu
to=${DESTDIR:-}$2
[ -e "$to" ] || install -D -m 644 "$1" "$to"
