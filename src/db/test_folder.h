/* SPDX-License-Identifier: Apache-2.0 */
/* A temporary folder for tests of databases, removed with what is in it. */
#pragma once

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

struct test_folder {
        char path[64];
        char url[96]; /* of a database in it */
};

static inline int test_folder_unlink(const char *path, const struct stat *stat, int type,
                                     struct FTW *ftw)
{
        (void)stat, (void)type, (void)ftw;
        return remove(path);
}

static inline struct test_folder test_folder_new(void)
{
        struct test_folder folder = {.path = "/tmp/flowgenix-test.XXXXXX"};

        if (!mkdtemp(folder.path))
                abort();
        snprintf(folder.url, sizeof(folder.url), "sqlite:%s/test.db", folder.path);
        return folder;
}

static inline void test_folder_remove(const struct test_folder *folder)
{
        nftw(folder->path, test_folder_unlink, 8, FTW_DEPTH | FTW_PHYS);
}
