/* SPDX-License-Identifier: BSD-3-Clause */
/* Feeds a fuzz target every file of the directories named, without libFuzzer: so that every build replays the
 * corpora. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int
replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t size;

	if (file == NULL || fstat(fileno(file), &st) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		if (file != NULL)
			fclose(file);
		return -1;
	}
	/* Exactly as large as the input, so that the address sanitizer sees a read beyond it. */
	size = (size_t)st.st_size;
	data = malloc(size > 0 ? size : 1);
	if (data == NULL || fread(data, 1, size, file) != size) {
		fprintf(stderr, "%s: cannot be read\n", path);
		free(data);
		fclose(file);
		return -1;
	}
	fclose(file);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

/* Returns the number of files, or -1. */
static int
replay_directory(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[4096];
	int files = 0;

	if (dir == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	while (files >= 0 && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		files = replay_file(name) < 0 ? -1 : files + 1;
	}
	closedir(dir);
	return files;
}

/* A target may have renamed that of a program under test. */
#undef main
int
main(int argc, char **argv)
{
	int total = 0;

	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++) {
		int files = replay_directory(argv[i]);

		if (files < 0)
			return 1;
		total += files;
	}
	printf("%d inputs\n", total);
	/* An empty corpus is a mistake in the paths, not a success. */
	return total > 0 ? 0 : 1;
}
