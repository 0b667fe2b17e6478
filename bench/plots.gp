# SPDX-License-Identifier: BSD-3-Clause
# The curves of rookbench as SVG: gnuplot -e "dir='build/bench'; out='build/bench'" bench/plots.gp
# Columns of each .dat: x, median, minimum, maximum, reference. The bands lie between minimum and maximum of the rounds.
blue = "#1f5fa8"; orange = "#d9711c"; green = "#2c8c4b"; grey = "#7a7f87"; ink = "#2b2f36"; pale = "#dfe3e8"

set terminal svg size 680,400 font "DejaVu Sans,Verdana,sans-serif,12" background "white" linewidth 1 rounded
set border 3 linecolor rgb ink linewidth 1
set tics nomirror out scale 0.6 textcolor rgb ink
set grid ytics linecolor rgb pale linewidth 1 linetype 1
set key inside left top Left reverse samplen 2 spacing 1.25 textcolor rgb ink
set style fill transparent solid 0.16 noborder
set title font ",13" textcolor rgb ink offset 0,-0.4
set xlabel textcolor rgb ink
set ylabel textcolor rgb ink offset 1,0
set lmargin 9; set rmargin 3; set tmargin 2.6

set style line 1 linecolor rgb blue linewidth 2 pointtype 7 pointsize 0.55
set style line 2 linecolor rgb orange linewidth 2 pointtype 7 pointsize 0.55
set style line 3 linecolor rgb green linewidth 2 pointtype 7 pointsize 0.55
set style line 4 linecolor rgb grey linewidth 1.5 dashtype 2 pointtype 7 pointsize 0.4
file(name) = dir."/".name.".dat"

set output out."/sessions.svg"
set title "Cost and number of live sessions"
set xlabel "live sessions, each as likely as any other"
set ylabel "TSC cycles per packet that comes in"
set logscale x
set xrange [7000:15000000]
set xtics ("10 k" 1e4, "100 k" 1e5, "1 M" 1e6, "10 M" 1e7)
set yrange [0:*]
set offsets 0, 0, graph 0.28, 0
plot file("sessions") using 1:3:4 with filledcurves linecolor rgb blue notitle, \
     "" using 1:2 with linespoints linestyle 1 title "relay of 256 bytes: ACCEPTED and forward", \
     file("sessions_pings") using 1:3:4 with filledcurves linecolor rgb orange notitle, \
     "" using 1:2 with linespoints linestyle 2 title "heartbeat with its answer", \
     file("sessions") using 1:5 with linespoints linestyle 4 title "5-tuple swap (REF)"
unset logscale x

set output out."/payload.svg"
set title "Cost and length of the text"
set xlabel "bytes of text"
set ylabel "TSC cycles per message"
set xrange [0:1060]
set xtics (16, 128, 256, 512, 768, 1024)
plot file("payload") using 1:3:4 with filledcurves linecolor rgb blue notitle, \
     "" using 1:2 with linespoints linestyle 1 title "relay: ACCEPTED and forward", \
     "" using 1:5 with linespoints linestyle 4 title "5-tuple swap (REF)"

set output out."/burst.svg"
set title "Cost and packets an iteration"
set xlabel "packets that wait when an iteration begins"
set logscale x 2
set xrange [0.9:36]
set xtics (1, 2, 4, 8, 16, 32)
set key inside right top
plot file("burst") using 1:3:4 with filledcurves linecolor rgb blue notitle, \
     "" using 1:2 with linespoints linestyle 1 title "relay of 256 bytes: ACCEPTED and forward"
unset logscale x

set output out."/latency.svg"
set offsets 0, 0, 0, 0
set title "What the worker adds to a message's way"
set xlabel "load: Poisson arrivals, percent of what the worker can do"
set ylabel "microseconds"
set key inside left top
set logscale y
set grid ytics mytics linecolor rgb pale linewidth 1 linetype 1
set xrange [5:100]
set xtics 10, 10, 100
set yrange [*:*]
set ytics ("1" 1, "10" 10, "100" 100, "1 ms" 1000, "10 ms" 10000, "100 ms" 100000)
plot file("latency_p999") using 1:3:4 with filledcurves linecolor rgb orange notitle, \
     "" using 1:2 with linespoints linestyle 2 title "99.9% of messages", \
     file("latency_p99") using 1:2 with linespoints linestyle 3 title "99%", \
     file("latency_p50") using 1:3:4 with filledcurves linecolor rgb blue notitle, \
     "" using 1:2 with linespoints linestyle 1 title "half of them"
