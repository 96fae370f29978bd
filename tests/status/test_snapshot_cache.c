/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "status/server/snapshot_cache.h"
#include "synthetic.h"

#include <string.h>

static int taken, released;
static bool fails;

static sgp_status_t take(void *context, sgp_status_snapshot_t *snapshot) {
    if (fails) return SGP_ERR_NO_MEMORY;
    synthetic_free(snapshot);
    synthetic_make(snapshot, (size_t)taken + 1);
    assert_ptr_equal(context, &taken);
    taken++;
    return SGP_OK;
}

static void release(void *context, sgp_status_snapshot_t *snapshot) {
    assert_ptr_equal(context, &taken);
    synthetic_free(snapshot);
    released++;
}

static snapshot_cache_t cache_of(void) {
    snapshot_cache_t cache;
    sgp_status_source_t source = {&taken, take, release, NULL};
    taken = released = 0;
    fails = false;
    cache_init(&cache, &source);
    return cache;
}

/* Asked 10,000 times in ten seconds, in every form. */
static void test_a_snapshot_is_taken_twice_a_second_at_most(void **state) {
    (void)state;
    snapshot_cache_t cache = cache_of();
    for (uint64_t i = 0; i < 10000; i++)
        rendered_release(cache_get(&cache, (form_t)(i % FORMS), 7 + i * UINT64_C(1000000)));
    assert_in_range(taken, 19, 20);
    cache_fini(&cache);
    assert_int_equal(released, 1);
}

static void test_the_bytes_are_made_once_and_shared(void **state) {
    (void)state;
    snapshot_cache_t cache = cache_of();
    rendered_t *first = cache_get(&cache, FORM_JSON, 7), *second = cache_get(&cache, FORM_JSON, 8);
    assert_ptr_equal(first, second);
    assert_int_equal(first->uses, 3);
    rendered_t *later = cache_get(&cache, FORM_JSON, 7 + CACHE_AGE);
    assert_ptr_not_equal(first, later);
    assert_non_null(memmem(first->bytes, first->length, "\"total\":1,", 10)); /* still whole */
    assert_non_null(memmem(later->bytes, later->length, "\"total\":2,", 10));
    rendered_release(first);
    rendered_release(second);
    rendered_release(later);
    cache_fini(&cache);
}

static void test_without_a_new_snapshot_the_last_one_serves(void **state) {
    (void)state;
    snapshot_cache_t cache = cache_of();
    fails = true;
    assert_null(cache_get(&cache, FORM_JSON, 7));
    fails = false;
    rendered_t *first = cache_get(&cache, FORM_JSON, 8);
    assert_non_null(first);
    fails = true;
    rendered_t *second = cache_get(&cache, FORM_JSON, 8 + 2 * CACHE_AGE);
    assert_ptr_equal(first, second);
    rendered_release(first);
    rendered_release(second);
    cache_fini(&cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_snapshot_is_taken_twice_a_second_at_most),
        cmocka_unit_test(test_the_bytes_are_made_once_and_shared),
        cmocka_unit_test(test_without_a_new_snapshot_the_last_one_serves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
