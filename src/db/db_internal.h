/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of an open database, for the files of this folder. */
#pragma once

#include <pthread.h>

#include "db/db_driver.h"

enum { DB_READERS_DEFAULT = 4, DB_READERS_MAX = 64, DB_BUSY_MS_DEFAULT = 5000 };

struct db_writer;

/* Free connections form a stack: the one used last has the warmest cache. */
struct db_readers {
        pthread_mutex_t lock;
        pthread_cond_t given_back;
        struct db_conn *free;
        unsigned count; /* opened */
};

struct db {
        const struct db_driver *driver;
        struct db_readers readers;
        struct db_writer *writer;
};

/* Starts the writer thread on `conn`, which it owns from then on. */
enum status db_writer_new(struct db_conn *conn, struct db_writer **ret, struct error *err) MUST_USE;
/* Runs what is queued, stops the thread, closes the connection. Takes NULL, returns NULL. */
struct db_writer *db_writer_free(struct db_writer *writer);

/* Counts connections for db_pool_connections; deltas. */
void db_pool_count(int idle, int in_use);
/* True on this thread while it runs a db_fn. */
bool db_inside(void);
/* Runs fn with db_inside() true. */
enum status db_call(db_fn *fn, struct db_conn *conn, void *arg, struct error *err) MUST_USE;
