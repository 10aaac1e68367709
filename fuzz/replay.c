/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files instead of a fuzzer: every input that ever mattered is replayed in
 * every build. Arguments are files and folders; no input at all is a failure. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool replay_file(const char *path, size_t *inputs)
{
        SCOPED_FILE FILE *file = fopen(path, "rb");
        SCOPED_FREE uint8_t *data = NULL;
        struct stat info;

        if (!file || fstat(fileno(file), &info)) {
                perror(path);
                return false;
        }
        /* Exactly as large as the input, so that a read beyond it is seen. */
        data = malloc((size_t)info.st_size);
        if (fread(data, 1, (size_t)info.st_size, file) != (size_t)info.st_size) {
                perror(path);
                return false;
        }
        LLVMFuzzerTestOneInput(data, (size_t)info.st_size);
        *inputs += 1;
        return true;
}

static bool replay_folder(const char *path, size_t *inputs)
{
        SCOPED_MEM void *ctx = mem_root();
        DIR *folder = opendir(path);
        bool ok = folder != NULL;

        if (!ok)
                perror(path);
        for (struct dirent *entry; ok && (entry = readdir(folder));) {
                if (entry->d_name[0] != '.')
                        ok = replay_file(mem_printf(ctx, "%s/%s", path, entry->d_name), inputs);
        }
        if (folder)
                closedir(folder);
        return ok;
}

int main(int argc, char **argv)
{
        size_t inputs = 0;
        bool ok = true;

        for (int i = 1; i < argc && ok; i++) {
                struct stat info;

                if (stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode))
                        ok = replay_folder(argv[i], &inputs);
                else
                        ok = replay_file(argv[i], &inputs);
        }
        printf("%zu inputs replayed\n", inputs);
        return ok && inputs > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
