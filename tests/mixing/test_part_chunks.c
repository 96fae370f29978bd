/* SPDX-License-Identifier: Apache-2.0 */
/* Which elements of a vector have been given, against an array of one flag for each. */
#include "cmocka_all.h"

#include "base/random.h"
#include "mixing/part_chunks.h"

#include <string.h>

enum { MOST = 700 };

typedef struct model {
    sgp_part_chunks_t chunks;
    bool given[MOST];
    size_t length;
} model_t;

static bool any_given(const model_t *model, size_t offset, size_t count) {
    for (size_t i = offset; i < offset + count; i++)
        if (model->given[i]) return true;
    return false;
}

static bool all_given(const model_t *model, size_t offset, size_t count) {
    for (size_t i = offset; i < offset + count; i++)
        if (!model->given[i]) return false;
    return true;
}

/* Gives a range that is missing, chunk by chunk. */
static void give(model_t *model, size_t offset, size_t count) {
    memset(model->given + offset, true, count);
    for (size_t end = offset + count, at = offset; at < end;) {
        size_t index = sgp_part_chunks_at(&model->chunks, at);
        const sgp_part_chunk_t *chunk = &model->chunks.chunk[index];
        size_t stop = chunk->begin + chunk->count, here = (end < stop ? end : stop) - at;
        assert_true(chunk->begin <= at && at < stop);
        bool whole = sgp_part_chunks_give(&model->chunks, index, at, here);
        assert_true(whole == (chunk->missing == 0));
        at += here;
    }
}

/* The chunks know which of them are whole, and the first element that is missing. */
static void check_chunks(const model_t *model) {
    size_t missing = 0;
    for (size_t c = 0; c < model->chunks.count; c++) {
        const sgp_part_chunk_t *chunk = &model->chunks.chunk[c];
        bool whole = all_given(model, chunk->begin, chunk->count);
        assert_true(whole == (chunk->missing == 0));
        missing += !whole;
    }
    assert_true(model->chunks.missing == missing);
    if (!missing) return;
    size_t first = sgp_part_chunks_first_missing(&model->chunks);
    assert_true(!model->given[first] && all_given(model, 0, first));
}

static void try_step(model_t *model, sgp_random_t *random) {
    size_t size = 1 + (size_t)sgp_random_below(random, 100),
           most = 1 + (size_t)sgp_random_below(random, 90);
    size_t middle = (size_t)sgp_random_below(random, model->length);
    memset(model->given, false, sizeof model->given);
    sgp_part_chunks_clear(&model->chunks);
    sgp_part_chunks_cut(&model->chunks, 0, middle, size);
    sgp_part_chunks_cut(&model->chunks, middle, model->length, size);
    assert_true(model->chunks.missing == model->chunks.count);
    assert_true(model->chunks.undone == model->chunks.count);
    for (int tries = 0; tries < 300 || model->chunks.missing > 0; tries++) {
        size_t offset = tries < 300 ? (size_t)sgp_random_below(random, model->length)
                                    : sgp_part_chunks_first_missing(&model->chunks);
        size_t count = 1 + (size_t)sgp_random_below(random, most);
        if (count > model->length - offset) count = model->length - offset;
        bool missing = sgp_part_chunks_are_missing(&model->chunks, offset, count);
        assert_true(missing == !any_given(model, offset, count));
        if (missing) give(model, offset, count);
        else if (tries >= 300) give(model, offset, 1);
        check_chunks(model);
    }
}

/* The bits of one step do not matter in the next, as chunks of which nothing is given have none. */
static void test_against_flags(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 11, 0);
    for (int round = 0; round < 100; round++) {
        model_t model = {.length = 2 + (size_t)sgp_random_below(&random, MOST - 2)};
        assert_int_equal(sgp_part_chunks_init(&model.chunks, model.length, MOST + 2), SGP_OK);
        for (int step = 0; step < 3; step++) try_step(&model, &random);
        sgp_part_chunks_fini(&model.chunks);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_flags)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
