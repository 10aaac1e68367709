/* SPDX-License-Identifier: Apache-2.0 */
/* The one writer: group commit.
 *
 * Callers queue operations; the writer thread runs them in one transaction, each inside a
 * savepoint, commits once, and only then tells the callers. While it commits, the next batch
 * gathers in the queue. A batch ends when the queue is empty or a bound is reached, so no caller
 * waits long for others. An operation is never run twice: if the transaction is lost, all of its
 * operations fail. */
#include <assert.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "db/db_internal.h"
#include "observe/metrics.h"

/* The cost of a commit is one flush of the disk: at these bounds it is a small part of a batch's
 * time, and a caller waits at most about two batches. */
enum { BATCH_OPS_MAX = 512, BATCH_US_MAX = 5000 };

/* `waiting` is a futex word. */
struct op {
        struct op *next;
        db_fn *fn;
        void *arg;
        db_done_fn *done;  /* NULL: a thread waits for it */
        struct error *err; /* of the waiting thread; of an async operation only once it failed */
        int64_t queued_us;
        _Atomic uint32_t waiting;
        bool failed; /* err says why */
};

struct op_list {
        struct op *first, **last;
};

struct db_writer {
        struct db_conn *conn;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct op_list queue; /* under lock */
        bool idle, stopping;  /* under lock */
        atomic_size_t depth;
        struct op_list taken; /* the writer thread's own, from here on */
        struct op_list ran;   /* of the batch; waiting for the commit */
};

static void list_init(struct op_list *list)
{
        list->first = NULL;
        list->last = &list->first;
}

static void list_push(struct op_list *list, struct op *op)
{
        op->next = NULL;
        *list->last = op;
        list->last = &op->next;
}

static struct op *list_pop(struct op_list *list)
{
        struct op *op = list->first;

        if (op && !(list->first = op->next))
                list->last = &list->first;
        return op;
}

static void list_move(struct op_list *to, struct op_list *from)
{
        if (!from->first)
                return;
        *to->last = from->first;
        to->last = from->last;
        list_init(from);
}

/* --- Callers' side ----------------------------------------------------------------------------*/
static void queue_push(struct db_writer *writer, struct op *op)
{
        op->queued_us = clock_monotonic_us();
        atomic_fetch_add_explicit(&writer->depth, 1, memory_order_relaxed);
        pthread_mutex_lock(&writer->lock);
        list_push(&writer->queue, op);
        if (writer->idle)
                pthread_cond_signal(&writer->wake);
        writer->idle = false;
        pthread_mutex_unlock(&writer->lock);
}

static void op_wait(struct op *op)
{
        while (atomic_load_explicit(&op->waiting, memory_order_acquire))
                syscall(SYS_futex, &op->waiting, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}

enum status db_write(struct db *db, db_fn *fn, void *arg, struct error *err)
{
        struct error result = ERROR_INIT;
        struct op op = {.fn = fn, .arg = arg, .err = &result, .waiting = 1};

        assert(!db_inside());
        assert(!pthread_equal(pthread_self(), db->writer->thread)); /* it would wait for itself */
        queue_push(db->writer, &op);
        op_wait(&op);
        if (result.status)
                *err = result;
        return result.status;
}

void db_write_async(struct db *db, db_fn *fn, void *arg, db_done_fn *done)
{
        struct op *op = mem_new(NULL, struct op);

        op->fn = fn;
        op->arg = arg;
        op->done = done;
        queue_push(db->writer, op);
}

size_t db_write_queue_depth(struct db *db)
{
        return atomic_load_explicit(&db->writer->depth, memory_order_relaxed);
}

/* --- The writer thread ------------------------------------------------------------------------*/
static void op_finish(struct db_writer *writer, struct op *op)
{
        atomic_fetch_sub_explicit(&writer->depth, 1, memory_order_relaxed);
        if (op->done) {
                op->done(op->arg, op->err);
                mem_free(op);
                return;
        }
        /* Once it is zero the thread may leave and its stack be gone: only the address is used. */
        atomic_store_explicit(&op->waiting, 0, memory_order_release);
        syscall(SYS_futex, &op->waiting, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void op_fail(struct op *op, const struct error *err)
{
        op->failed = true;
        if (op->done)
                op->err = mem_dup(op, err, sizeof(*err));
        else
                *op->err = *err;
}

static void finish_all(struct db_writer *writer, struct op_list *list)
{
        struct op *op;

        while ((op = list_pop(list)))
                op_finish(writer, op);
}

static void fail_all(struct db_writer *writer, struct op_list *list, const struct error *err)
{
        for (struct op *op = list->first; op; op = op->next) {
                if (!op->failed)
                        op_fail(op, err);
        }
        finish_all(writer, list);
}

/* The next operation; looks into the queue again when what was taken is used up. */
static struct op *op_take(struct db_writer *writer)
{
        if (!writer->taken.first) {
                pthread_mutex_lock(&writer->lock);
                list_move(&writer->taken, &writer->queue);
                pthread_mutex_unlock(&writer->lock);
        }
        return list_pop(&writer->taken);
}

/* Waits for work; false: stopping and nothing left. */
static bool work_wait(struct db_writer *writer)
{
        bool work;

        if (writer->taken.first)
                return true;
        pthread_mutex_lock(&writer->lock);
        while (!writer->queue.first && !writer->stopping) {
                writer->idle = true;
                pthread_cond_wait(&writer->wake, &writer->lock);
        }
        writer->idle = false;
        work = writer->queue.first != NULL;
        pthread_mutex_unlock(&writer->lock);
        return work;
}

/* The savepoint is undone; where even that fails, the whole transaction. */
static void op_undo(struct db_conn *conn)
{
        const struct db_driver *driver = conn->driver;
        struct error ignored = ERROR_INIT;

        if (driver->in_transaction(conn) && driver->step(conn, DB_ROLLBACK_TO, &ignored))
                (void)!driver->step(conn, DB_ROLLBACK, &ignored);
}

static enum status op_run_saved(struct db_conn *conn, struct op *op, struct error *err)
{
        if (conn->driver->step(conn, DB_SAVEPOINT, err))
                return err->status;
        if (db_call(op->fn, conn, op->arg, err)) {
                op_undo(conn);
                return err->status;
        }
        if (conn->driver->in_transaction(conn) && conn->driver->step(conn, DB_RELEASE, err))
                op_undo(conn);
        return err->status;
}

/* A failed operation waits for the commit too: why it failed may rest on a neighbour's change. */
static void op_run(struct db_writer *writer, struct op *op)
{
        struct error err = ERROR_INIT;
        int64_t start = clock_monotonic_us();

        metric_observe(METRIC_db_pool_wait_seconds, (double)(start - op->queued_us) / 1e6);
        if (op_run_saved(writer->conn, op, &err))
                op_fail(op, &err);
        list_push(&writer->ran, op);
        metric_observe(METRIC_db_query_duration_seconds, metric_seconds_since(start), "write");
}

static void batch_run(struct db_writer *writer)
{
        int64_t end = clock_monotonic_us() + BATCH_US_MAX;
        struct op *op;

        for (int i = 0; i < BATCH_OPS_MAX && (op = op_take(writer)); i++) {
                op_run(writer, op);
                if (!writer->conn->driver->in_transaction(writer->conn))
                        break;
                if (clock_monotonic_us() > end)
                        break;
        }
}

/* Commits and tells the callers; a failed commit is every caller's failure. */
static void batch_commit(struct db_writer *writer)
{
        struct db_conn *conn = writer->conn;
        struct error err = ERROR_INIT, ignored = ERROR_INIT;
        int64_t start = clock_monotonic_us();

        if (!conn->driver->in_transaction(conn)) {
                db_fail(&err, STATUS_UNAVAILABLE,
                        "The database undid a group of changes, this one among them; try again");
        } else if (conn->driver->step(conn, DB_COMMIT, &err) &&
                   conn->driver->in_transaction(conn)) {
                (void)!conn->driver->step(conn, DB_ROLLBACK, &ignored);
        }
        metric_observe(METRIC_db_query_duration_seconds, metric_seconds_since(start), "commit");
        if (err.status)
                fail_all(writer, &writer->ran, &err);
        else
                finish_all(writer, &writer->ran);
}

/* The database cannot be written now: everyone who waits is told so. */
static void batch_refuse(struct db_writer *writer, const struct error *err)
{
        struct op *op = op_take(writer);

        if (op)
                list_push(&writer->ran, op);
        list_move(&writer->ran, &writer->taken);
        fail_all(writer, &writer->ran, err);
}

static void *write_loop(void *arg)
{
        struct db_writer *writer = arg;

        pthread_setname_np(pthread_self(), "db-writer");
        while (work_wait(writer)) {
                struct error err = ERROR_INIT;

                db_pool_count(-1, 1);
                if (writer->conn->driver->step(writer->conn, DB_BEGIN_WRITE, &err)) {
                        batch_refuse(writer, &err);
                } else {
                        batch_run(writer);
                        batch_commit(writer);
                }
                db_pool_count(1, -1);
        }
        return NULL;
}

enum status db_writer_new(struct db_conn *conn, struct db_writer **ret, struct error *err)
{
        struct db_writer *writer = mem_new(NULL, struct db_writer);

        writer->conn = conn;
        pthread_mutex_init(&writer->lock, NULL);
        pthread_cond_init(&writer->wake, NULL);
        list_init(&writer->queue);
        list_init(&writer->taken);
        list_init(&writer->ran);
        if (pthread_create(&writer->thread, NULL, write_loop, writer)) {
                conn->driver->conn_close(conn);
                mem_free(writer);
                return error_set(err, STATUS_INTERNAL, "cannot start the database writer");
        }
        db_pool_count(1, 0);
        *ret = writer;
        return STATUS_OK;
}

struct db_writer *db_writer_free(struct db_writer *writer)
{
        if (!writer)
                return NULL;
        pthread_mutex_lock(&writer->lock);
        writer->stopping = true;
        pthread_cond_signal(&writer->wake);
        pthread_mutex_unlock(&writer->lock);
        pthread_join(writer->thread, NULL);
        writer->conn->driver->conn_close(writer->conn);
        db_pool_count(-1, 0);
        pthread_cond_destroy(&writer->wake);
        pthread_mutex_destroy(&writer->lock);
        return mem_free(writer);
}
