/* SPDX-License-Identifier: BSD-3-Clause */
/* How the programs of this folder end when something is not as it must be. */
#ifndef ROOKERY_BENCH_FAIL_H
#define ROOKERY_BENCH_FAIL_H

/* One line on stderr behind the program's name, then exit(1), with what atexit() has registered. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
