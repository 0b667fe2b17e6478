/* SPDX-License-Identifier: BSD-3-Clause */
/* A public header alone, first thing in a file, as C11 or C++: HEADER names it. */
#include HEADER

int header_compiles;
