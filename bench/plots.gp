# SPDX-License-Identifier: BSD-3-Clause
# The curves of rookbench as SVG: gnuplot -e "dir='build/bench'" bench/plots.gp
set terminal svg size 640,400 dynamic background "white"
set grid
set key top left
set style data linespoints

set output dir."/sessions.svg"
set xlabel "live sessions, drawn uniformly"
set ylabel "TSC cycles per message of 256 bytes"
set logscale x
set yrange [0:*]
plot dir."/sessions.dat" using 1:2 title "relay", "" using 1:3 title "5-tuple swap (REF)"
unset logscale x

set output dir."/payload.svg"
set xlabel "bytes of text"
set ylabel "TSC cycles per message"
plot dir."/payload.dat" using 1:2 title "relay", "" using 1:3 title "5-tuple swap (REF)"

set output dir."/burst.svg"
set xlabel "packets an iteration"
plot dir."/burst.dat" using 1:2 title "relay, 256 bytes"

set output dir."/latency.svg"
set xlabel "load, percent of the capacity"
set ylabel "microseconds added by the worker"
set logscale y
set yrange [*:*]
plot dir."/latency_p50.dat" using 1:2 title "median", dir."/latency_p99.dat" using 1:2 title "99%", \
     dir."/latency_p999.dat" using 1:2 title "99.9%"
