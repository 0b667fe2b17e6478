#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# check.sh PAGES-FOLDER PROGRAMS-FOLDER SOURCE-ROOT: the man pages have no mistakes in their markup and miss no option and no command
# of their program.
set -u
export LC_ALL=C.UTF-8
pages=$1
programs=$2
source=$3
bad=0

complain() {
	echo "$1" >&2
	bad=1
}

if ! command -v mandoc >/dev/null; then
	echo "mandoc is missing: config/packages.sh test installs it" >&2
	exit 77
fi
for page in rookery.8 rookery-dataplane.8 rookery-control.8 rookctl.1 rookchat.1 rookery.yaml.5; do
	# Style is a matter of taste; long lines come from the meanings of keys.
	mandoc -T lint -W warning "$pages/$page" || complain "$page: see above"
	grep -q '@' "$pages/$page" && ! grep -q 'NAME@SERVER' "$pages/$page" && complain "$page: a placeholder was not replaced"
	program=${page%.*}
	[ -x "$programs/$program" ] || continue
	text=$(mandoc -T utf8 "$pages/$page" | col -b)
	for option in $("$programs/$program" --help | grep -o -e '--[a-z][a-z-]*' | sort -u); do
		echo "$text" | grep -q -e "$option" || complain "$page lacks $option"
	done
done
text=$(mandoc -T utf8 "$pages/rookchat.1" | col -b)
for command in $(sed -n 's/^	{"\([a-z]*\)", ".*", command_.*/\1/p' "$source/client/rookchat.c"); do
	echo "$text" | grep -q "^ *.*\b$command\b" || complain "rookchat.1 lacks the command $command"
done
exit $bad
