/* SPDX-License-Identifier: BSD-3-Clause */
/* What somebody may have meant by a word that is none of those that there are. */
#ifndef ROOKERY_SHARED_SPELLING_H
#define ROOKERY_SHARED_SPELLING_H

#define SPELLING_MAX 64 /* longer words are not looked at */

struct spelling {
	const char *word;
	char best[SPELLING_MAX + 1];
	unsigned distance; /* of best; with an empty best it says nothing */
};

/* One of the words that there are. */
void spelling_consider(struct spelling *s, const char *candidate);

/* The nearest of them, or NULL: nothing that could be a slip of the finger. */
const char *spelling_guess(const struct spelling *s);

#endif
