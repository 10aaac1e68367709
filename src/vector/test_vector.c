/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "store/test_store.h"
#include "vector/vector_engine.h"

#define MODEL "test/model"

/* --- Material ----------------------------------------------------------------------------------*/
static uint64_t random_state = 88172645463325252;

static double random_unit(void)
{
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return (double)(random_state >> 11) / 9007199254740992.0 * 2 - 1;
}

static void normalise(float *values, size_t dims)
{
        double sum = 0;

        for (size_t i = 0; i < dims; i++)
                sum += (double)values[i] * (double)values[i];
        for (size_t i = 0; i < dims; i++)
                values[i] = (float)((double)values[i] / sqrt(sum));
}

/* `spread` > 0 gives clusters of 20: neighbours that are close to each other. */
static float *random_vectors(const void *ctx, size_t count, size_t dims, double spread)
{
        float *all = mem_array(ctx, float, count *dims);

        for (size_t row = 0; row < count; row++) {
                float *centre = all + row / 20 * 20 * dims, *values = all + row * dims;

                for (size_t i = 0; i < dims; i++)
                        values[i] = spread > 0 && values != centre
                                            ? centre[i] + (float)(spread * random_unit() /
                                                                  sqrt((double)dims))
                                            : (float)random_unit();
                normalise(values, dims);
        }
        return all;
}

struct set {
        size_t count, dims;
        float *vectors;
        char **chunk_ids;
        const char **document_ids;
};

static char *add_document(struct fixture *fixture, const struct workflow *workflow)
{
        static unsigned number;
        struct document document = {.owner_id = workflow->owner_id,
                                    .workflow_id = workflow->id,
                                    .filename = TEXT("a.txt"),
                                    .content_type = TEXT("text/plain"),
                                    .sha256 = mem_printf(fixture->ctx, "%u", number++)};
        char *existing = NULL;

        ok(fixture, store_create_document(fixture->store, &document, fixture->ctx, &existing,
                                          &fixture->err));
        return document.id;
}

static void add_chunks(struct fixture *fixture, const struct workflow *workflow,
                       const char *document_id, char **ids, size_t count)
{
        struct chunk *chunks = mem_array(fixture->ctx, struct chunk, count);
        char id[UUID_TEXT_SIZE];

        for (size_t i = 0; i < count; i++) {
                ids[i] = mem_strdup(fixture->ctx, uuid_new(id));
                chunks[i] = (struct chunk){.id = ids[i],
                                           .ordinal = (int64_t)i,
                                           .content = TEXT("word"),
                                           .heading = TEXT("")};
        }
        ok(fixture, store_add_chunks(fixture->store, document_id, workflow->id, chunks, count,
                                     &fixture->err));
}

static void add_vectors(struct fixture *fixture, struct vector *vector,
                        const struct workflow *workflow, const struct set *set, size_t from,
                        size_t count)
{
        struct vector_item *items = mem_array(fixture->ctx, struct vector_item, count);

        for (size_t i = 0; i < count; i++)
                items[i] = (struct vector_item){.chunk_id = set->chunk_ids[from + i],
                                                .document_id = set->document_ids[from + i],
                                                .values = set->vectors + (from + i) * set->dims};
        ok(fixture,
           vector_add(vector, workflow->id, MODEL, set->dims, items, count, &fixture->err));
}

/* `documents` documents with `per` chunks each, with vectors in store and engine. */
static struct set make_set(struct fixture *fixture, struct vector *vector,
                           const struct workflow *workflow, size_t documents, size_t per,
                           size_t dims, double spread)
{
        struct set set = {.count = documents * per, .dims = dims};

        set.vectors = random_vectors(fixture->ctx, set.count, dims, spread);
        set.chunk_ids = mem_array(fixture->ctx, char *, set.count);
        set.document_ids = mem_array(fixture->ctx, const char *, set.count);
        for (size_t d = 0; d < documents; d++) {
                const char *id = add_document(fixture, workflow);

                add_chunks(fixture, workflow, id, set.chunk_ids + d * per, per);
                for (size_t i = 0; i < per; i++)
                        set.document_ids[d * per + i] = id;
                add_vectors(fixture, vector, workflow, &set, d * per, per);
        }
        return set;
}

static struct vector *open_engine(struct fixture *fixture, size_t bytes_max)
{
        struct vector *vector = NULL;

        ok(fixture, vector_memory_new(fixture->store, bytes_max, &vector, &fixture->err));
        return vector;
}

struct found {
        struct vector_hit *hits;
        size_t count;
};

static struct found search(struct fixture *fixture, struct vector *vector,
                           const struct document_set *set, const float *query, size_t dims,
                           size_t limit)
{
        struct found found;

        ok(fixture, vector_search(vector, fixture->ctx, set, MODEL, query, dims, limit, &found.hits,
                                  &found.count, &fixture->err));
        return found;
}

/* --- The truth, computed plainly ---------------------------------------------------------------*/
static double true_score(const struct set *set, size_t row, const float *query)
{
        double sum = 0;

        for (size_t i = 0; i < set->dims; i++)
                sum += (double)set->vectors[row * set->dims + i] * (double)query[i];
        return sum;
}

static size_t row_of(const struct set *set, const char *chunk_id)
{
        for (size_t i = 0; i < set->count; i++) {
                if (strcmp(set->chunk_ids[i], chunk_id) == 0)
                        return i;
        }
        fail_msg("%s is no chunk of the set", chunk_id);
        return 0;
}

static bool is_hit(const struct found *found, const char *chunk_id)
{
        for (size_t i = 0; i < found->count; i++) {
                if (strcmp(found->hits[i].chunk_id, chunk_id) == 0)
                        return true;
        }
        return false;
}

enum { FLOAT_ROUNDING = 100000 }; /* scores are compared to a hundred-thousandth */

/* Every hit has its true score, hits fall, and nothing left out is better than the last. */
static void check_exact(const struct set *set, const struct found *found, const float *query,
                        const char *only_document, size_t limit)
{
        const double tolerance = 1.0 / FLOAT_ROUNDING;
        size_t eligible = 0;

        for (size_t i = 0; i < found->count; i++) {
                double score = (double)found->hits[i].score;

                assert_true(fabs(score - true_score(set, row_of(set, found->hits[i].chunk_id),
                                                    query)) < tolerance);
                assert_true(i == 0 || found->hits[i].score <= found->hits[i - 1].score);
        }
        for (size_t row = 0; row < set->count; row++) {
                if (only_document && strcmp(set->document_ids[row], only_document) != 0)
                        continue;
                eligible++;
                if (!is_hit(found, set->chunk_ids[row]))
                        assert_true(true_score(set, row, query) <=
                                    (double)found->hits[found->count - 1].score + tolerance);
        }
        assert_int_equal(found->count, eligible < limit ? eligible : limit);
}

static void check_queries(struct fixture *fixture, struct vector *vector, const struct set *set,
                          const char *workflow_id, const char *only_document)
{
        const struct document_set all = {.workflow_id = workflow_id,
                                         .document_ids = &only_document,
                                         .document_count = only_document ? 1 : 0};

        for (size_t i = 0; i < 12; i++) {
                /* Every other query is a stored vector: its neighbours are very close. */
                const float *query = i % 2 ? set->vectors + (i * 37 % set->count) * set->dims
                                           : random_vectors(fixture->ctx, 1, set->dims, 0);
                struct found found = search(fixture, vector, &all, query, set->dims, 10);

                check_exact(set, &found, query, only_document, 10);
        }
}

/* --- Tests -------------------------------------------------------------------------------------*/
static void nearest_are_exact(void **state)
{
        struct fixture *fixture = *state;
        static const size_t dims[] = {1, 7, 64, 100, 384, 1536, 3072};

        for (size_t i = 0; i < ARRAY_LENGTH(dims); i++) {
                struct workflow workflow = fixture_workflow(fixture, fixture->alice.id);
                struct vector *vector = open_engine(fixture, 0);
                struct set set =
                        make_set(fixture, vector, &workflow, 4, 130, dims[i], i % 2 ? 0.3 : 0.01);

                check_queries(fixture, vector, &set, workflow.id, NULL);
                check_queries(fixture, vector, &set, workflow.id, set.document_ids[200]);
                vector_free(vector);
        }
}

static void vectors_come_back_after_a_restart(void **state)
{
        struct fixture *fixture = *state;
        struct vector *vector = open_engine(fixture, 0);
        struct set set = make_set(fixture, vector, &fixture->alices, 2, 150, 48, 0.2);

        vector_free(vector);
        vector = open_engine(fixture, 0);
        assert_int_equal(vector_memory_bytes(vector), 0);
        check_queries(fixture, vector, &set, fixture->alices.id, NULL);
        assert_true(vector_memory_bytes(vector) > 0);
        vector_free(vector);
}

static void equal_scores_are_ordered_by_id(void **state)
{
        struct fixture *fixture = *state;
        struct vector *vector = open_engine(fixture, 0);
        struct set set = make_set(fixture, vector, &fixture->alices, 1, 100, 16, 0);
        const struct document_set all = {.workflow_id = fixture->alices.id};

        for (size_t row = 1; row < set.count; row++)
                memcpy(set.vectors + row * 16, set.vectors, 16 * sizeof(float));
        add_vectors(fixture, vector, &fixture->alices, &set, 0, set.count);
        struct found found = search(fixture, vector, &all, set.vectors, 16, 30);

        assert_int_equal(found.count, 30);
        for (size_t i = 0; i < found.count; i++)
                assert_string_equal(found.hits[i].chunk_id, set.chunk_ids[i]);
        vector_free(vector);
}

static void adding_again_replaces(void **state)
{
        struct fixture *fixture = *state;
        struct vector *vector = open_engine(fixture, 0);
        struct set set = make_set(fixture, vector, &fixture->alices, 2, 40, 24, 0);

        check_queries(fixture, vector, &set, fixture->alices.id, NULL); /* loads it */
        float *fresh = random_vectors(fixture->ctx, 10, 24, 0);

        memcpy(set.vectors + (size_t)35 * 24, fresh, sizeof(float) * 10 * 24);
        add_vectors(fixture, vector, &fixture->alices, &set, 35, 10);
        check_queries(fixture, vector, &set, fixture->alices.id, NULL);
        vector_free(vector);
}

static void a_forgotten_document_is_not_found(void **state)
{
        struct fixture *fixture = *state;
        struct vector *vector = open_engine(fixture, 0);
        struct set set = make_set(fixture, vector, &fixture->alices, 5, 60, 32, 0.2);
        const char *gone = set.document_ids[130];
        struct set rest = set;

        check_queries(fixture, vector, &set, fixture->alices.id, NULL);
        ok(fixture, store_delete_document(fixture->store, NULL, gone, &fixture->err));
        vector_forget_document(vector, fixture->alices.id, gone);
        memmove(set.vectors + (size_t)120 * 32, set.vectors + (size_t)180 * 32,
                sizeof(float) * 120 * 32);
        memmove(set.chunk_ids + 120, set.chunk_ids + 180, 120 * sizeof(char *));
        memmove(set.document_ids + 120, set.document_ids + 180, 120 * sizeof(char *));
        rest.count = 240;
        check_queries(fixture, vector, &rest, fixture->alices.id, NULL);
        vector_forget_workflow(vector, fixture->alices.id);
        assert_int_equal(vector_memory_bytes(vector), 0);
        check_queries(fixture, vector, &rest, fixture->alices.id, NULL); /* from the store */
        vector_free(vector);
}

static void workflows_and_models_are_apart(void **state)
{
        struct fixture *fixture = *state;
        struct vector *vector = open_engine(fixture, 0);
        struct set set = make_set(fixture, vector, &fixture->alices, 1, 30, 8, 0);
        const struct document_set bobs = {.workflow_id = fixture->bobs.id};
        const struct document_set alices = {.workflow_id = fixture->alices.id};
        struct vector_hit *hits;
        size_t count;

        assert_int_equal(search(fixture, vector, &bobs, set.vectors, 8, 5).count, 0);
        ok(fixture, vector_search(vector, fixture->ctx, &alices, "other/model", set.vectors, 8, 5,
                                  &hits, &count, &fixture->err));
        assert_int_equal(count, 0);
        vector_free(vector);
}

static void bad_vectors_are_refused(void **state)
{
        struct fixture *fixture = *state;
        struct vector *vector = open_engine(fixture, 0);
        struct set set = make_set(fixture, vector, &fixture->alices, 1, 30, 8, 0);
        const struct document_set all = {.workflow_id = fixture->alices.id};
        struct vector_hit *hits;
        size_t count;
        float nan_vector[8] = {NAN}, infinite[8] = {0, INFINITY}, fine[9] = {1};
        struct vector_item item = {set.chunk_ids[0], set.document_ids[0], nan_vector};

        expect(fixture, STATUS_INVALID,
               vector_add(vector, all.workflow_id, MODEL, 8, &item, 1, &fixture->err));
        expect(fixture, STATUS_INVALID,
               vector_search(vector, fixture->ctx, &all, MODEL, infinite, 8, 5, &hits, &count,
                             &fixture->err));
        item = (struct vector_item){"no id", set.document_ids[0], fine};
        expect(fixture, STATUS_INVALID,
               vector_add(vector, all.workflow_id, MODEL, 8, &item, 1, &fixture->err));
        assert_int_equal(search(fixture, vector, &all, fine, 8, 5).count, 5);
        item = (struct vector_item){set.chunk_ids[0], set.document_ids[0], fine};
        expect(fixture, STATUS_INVALID,
               vector_add(vector, all.workflow_id, MODEL, 9, &item, 1, &fixture->err));
        expect(fixture, STATUS_INVALID,
               vector_search(vector, fixture->ctx, &all, MODEL, fine, 9, 5, &hits, &count,
                             &fixture->err));
        expect(fixture, STATUS_INVALID,
               vector_search(vector, fixture->ctx, &all, MODEL, fine, 0, 5, &hits, &count,
                             &fixture->err));
        vector_free(vector);
}

static void memory_is_bounded(void **state)
{
        enum { BOUND = 700 * 1024 };
        struct fixture *fixture = *state;
        struct vector *vector = open_engine(fixture, BOUND);
        struct workflow workflows[4];
        struct set sets[4];

        for (size_t i = 0; i < 4; i++) {
                workflows[i] = fixture_workflow(fixture, fixture->alice.id);
                sets[i] = make_set(fixture, vector, &workflows[i], 1, 100, 256, 0.2);
        }
        for (size_t round = 0; round < 8; round++) {
                size_t i = round * 3 % 4;

                check_queries(fixture, vector, &sets[i], workflows[i].id, NULL);
                assert_true(vector_memory_bytes(vector) > 0);
                assert_true(vector_memory_bytes(vector) <= BOUND);
        }
        vector_free(vector);
}

static void a_collection_past_the_bound_is_searched_in_the_store(void **state)
{
        struct fixture *fixture = *state;
        struct vector *vector = open_engine(fixture, 100 << 10);
        struct set set = make_set(fixture, vector, &fixture->alices, 3, 100, 128, 0.2);

        check_queries(fixture, vector, &set, fixture->alices.id, NULL);
        check_queries(fixture, vector, &set, fixture->alices.id, set.document_ids[150]);
        assert_int_equal(vector_memory_bytes(vector), 0);
        vector_free(vector);
}

/* --- Many threads ------------------------------------------------------------------------------*/
struct crowd {
        struct fixture *fixture;
        struct vector *vector;
        struct set *set;
        size_t first; /* row from which this thread adds, or nothing for a reader */
        bool writes;
};

enum { ROUNDS = 30, CROWD_ROWS = 50 };

static void add_rows(const struct crowd *crowd)
{
        struct vector_item items[CROWD_ROWS];
        struct error err = ERROR_INIT;

        for (size_t i = 0; i < CROWD_ROWS; i++) {
                size_t row = crowd->first + i;

                items[i] = (struct vector_item){crowd->set->chunk_ids[row],
                                                crowd->set->document_ids[row],
                                                crowd->set->vectors + row * crowd->set->dims};
        }
        assert_int_equal(vector_add(crowd->vector, crowd->fixture->alices.id, MODEL,
                                    crowd->set->dims, items, CROWD_ROWS, &err),
                         STATUS_OK);
}

static void *crowd_run(void *arg)
{
        const struct crowd *crowd = arg;
        const struct document_set all = {.workflow_id = crowd->fixture->alices.id};
        SCOPED_MEM void *ctx = mem_root();

        for (size_t round = 0; round < ROUNDS; round++) {
                struct error err = ERROR_INIT;
                struct vector_hit *hits;
                size_t count;

                if (crowd->writes) {
                        vector_forget_document(crowd->vector, all.workflow_id,
                                               crowd->set->document_ids[crowd->first]);
                        add_rows(crowd);
                } else if (round % 10 == 9) {
                        vector_forget_workflow(crowd->vector, all.workflow_id);
                } else {
                        assert_int_equal(vector_search(crowd->vector, ctx, &all, MODEL,
                                                       crowd->set->vectors, crowd->set->dims, 20,
                                                       &hits, &count, &err),
                                         STATUS_OK);
                        for (size_t i = 1; i < count; i++)
                                assert_string_not_equal(hits[i].chunk_id, hits[i - 1].chunk_id);
                }
        }
        return NULL;
}

static void many_threads_add_search_and_forget(void **state)
{
        struct fixture *fixture = *state;
        struct vector *vector = open_engine(fixture, 0);
        struct set set = make_set(fixture, vector, &fixture->alices, 4, CROWD_ROWS, 40, 0.2);
        struct crowd crowds[4];
        pthread_t threads[4];

        for (size_t i = 0; i < 4; i++) {
                crowds[i] = (struct crowd){fixture, vector, &set, i * CROWD_ROWS, i < 2};
                assert_int_equal(pthread_create(&threads[i], NULL, crowd_run, &crowds[i]), 0);
        }
        for (size_t i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        check_queries(fixture, vector, &set, fixture->alices.id, NULL);
        vector_free(vector);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                store_test(nearest_are_exact),
                store_test(vectors_come_back_after_a_restart),
                store_test(equal_scores_are_ordered_by_id),
                store_test(adding_again_replaces),
                store_test(a_forgotten_document_is_not_found),
                store_test(workflows_and_models_are_apart),
                store_test(bad_vectors_are_refused),
                store_test(memory_is_bounded),
                store_test(a_collection_past_the_bound_is_searched_in_the_store),
                store_test(many_threads_add_search_and_forget),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
