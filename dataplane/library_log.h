/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the libraries below us say, as lines of our log: DPDK as area=dpdk, libxdp and libbpf as area=xdp.
 *
 * Thread-safety: the functions on the main thread; DPDK writes from any.
 */
#ifndef ROOKERY_DATAPLANE_LIBRARY_LOG_H
#define ROOKERY_DATAPLANE_LIBRARY_LOG_H

/* Before EAL starts. */
void library_log_open(void);

/* After it: libxdp and libbpf came with its driver for AF_XDP. Without them this does nothing. */
void library_log_drivers(void);

/* Rights were given up. At the end libxdp complains that it cannot count down the users of its program, in a directory which is root's
 * alone: the driver detaches the program itself, and its complaints become lines of level debug. */
void library_log_unprivileged(void);

void library_log_close(void);

#endif
