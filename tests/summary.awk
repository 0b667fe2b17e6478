# SPDX-License-Identifier: BSD-3-Clause
# Sums up the logs of meson test; last line: "N passed, N failed".
#   awk -v problems=0 -f summary.awk label=gcc a.json a.txt label=clang b.json b.txt
# A test case is a TAP line, or a program that speaks by its exit status alone. What a plan announced and a crash kept
# from running has failed. problems: failures outside of these logs. The JSON comes first: it knows time-outs
# and skips; the text has the output as it was.

# "test:         rookery:unit / shared/wire": the suites stand before a name when there are several.
function bare(text) {
	sub(/^test: */, "", text)
	sub(/^.* \/ /, "", text)
	return text
}

function finish(    seen, key, i) {
	if (name == "")
		return
	key = label ":" name
	seen = ok + not_ok + skips
	if (result[key] == "SKIP" && seen == 0 && plan != 0 && !status77) {
		not_ok = 1
		cases = cases "\n    printed no test case"
	} else if (result[key] == "SKIP" && seen == 0) {
		skips = 1
	} else if (result[key] == "FAIL" && status == "exit status 0" && skips > 0 && not_ok == 0 && plan == seen) {
		; # cmocka writes a skipped case as "not ok # SKIP"
	} else if (result[key] == "OK" || result[key] == "SKIP") {
		if (seen == 0)
			ok = 1
	} else if (plan > seen) {
		not_ok += plan - seen
		cases = cases "\n    " plan - seen " not run"
	} else if (not_ok == 0) {
		not_ok = 1
	}
	passed += ok
	failed += not_ok
	if (skips > 0) {
		skipped += skips
		skip_list = skip_list "\n  " key (skips > 1 ? " (" skips ")" : "")
	}
	if (not_ok > 0) {
		printf "\n---- %s: %s, %s%s\n", key, result[key], status, cases
		for (i = lines > TAIL ? lines - TAIL + 1 : 1; i <= lines; i++)
			print "  | " tail[i % TAIL]
		summary = summary "\n  " key ": " result[key] cases
	}
	name = ""
}

BEGIN {
	TAIL = 120
}

FILENAME ~ /\.json$/ {
	if (match($0, /"name": "[^"]*"/)) {
		n = bare(substr($0, RSTART + 9, RLENGTH - 10))
		if (match($0, /"result": "[A-Z]*"/))
			result[label ":" n] = substr($0, RSTART + 11, RLENGTH - 12)
	}
	next
}

FNR == 1 || /^=+ [0-9]+\/[0-9]+ =+$/ {
	finish()
	head = 1
	next
}

head && /^test: / {
	name = bare($0)
	ok = not_ok = skips = lines = status77 = 0
	plan = -1
	cases = status = ""
	next
}

head && /^result: / {
	status = $0
	sub(/^result: */, "", status)
	status77 = status == "exit status 77"
	next
}

head && /^-+ std(out|err) -+$/ {
	head = 0
	next
}

/^Summary of Failures:$/ || /^Ok: +[0-9]+ *$/ {
	finish()
}

/^=+$/ {
	next
}

name != "" && !head {
	if (/^(ok|not ok) / && / # SKIP/)
		skips++
	else if (/^ok /)
		ok++
	else if (/^not ok /) {
		not_ok++
		cases = cases "\n    " $0
	} else if (/^1\.\.[0-9]+/)
		plan = substr($0, 4) + 0
	else if (sub(/^==== FAILED: /, "")) # end-to-end tests say why
		cases = cases "\n      " $0
	lines++
	tail[lines % TAIL] = $0
}

END {
	finish()
	failed += problems
	if (skip_list != "")
		printf "\nskipped %d:%s\n", skipped, skip_list
	if (summary != "")
		printf "\nfailed:%s\n", summary
	printf "\n%d passed, %d failed\n", passed, failed
	exit failed > 0 || passed == 0
}
