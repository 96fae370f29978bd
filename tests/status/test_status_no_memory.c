/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of a rendering fails once: there is a whole answer or none, and no leak. */
#include "cmocka_all.h"

#include "failing_alloc.h"
#include "status/server/page_frame.h"
#include "status/server/snapshot_cache.h"
#include "synthetic.h"

#include <string.h>

static sgp_status_snapshot_t made;

static sgp_status_t take(void *context, sgp_status_snapshot_t *snapshot) {
    (void)context;
    *snapshot = made;
    return SGP_OK;
}

static void release(void *context, sgp_status_snapshot_t *snapshot) {
    (void)context;
    (void)snapshot;
}

/* qsort does without memory, so that a rendering may pass: it is then whole. */
static void check_form(form_t form, size_t members) {
    failing_t failing = {.unlogged = true, .may_pass = true};
    size_t passed = 0, failed = 0, length = 0;
    synthetic_make(&made, members);
    synthetic_lose(&made, 1, "its process ended");
    while (failing_round(&failing)) {
        snapshot_cache_t cache;
        sgp_status_source_t source = {NULL, take, release, NULL};
        cache_init(&cache, &source);
        failing_on(&failing);
        rendered_t *rendered = cache_get(&cache, form, 1);
        failing_check(&failing, rendered ? SGP_OK : SGP_ERR_NO_MEMORY);
        if (rendered && passed++ == 0) length = rendered->length;
        if (rendered) assert_int_equal(rendered->length, length);
        else failed++;
        rendered_release(rendered);
        cache_fini(&cache);
    }
    assert_true(failed > 5);
    synthetic_free(&made);
}

static void test_every_form(void **state) {
    (void)state;
    for (int form = 0; form < FORMS; form++) {
        check_form((form_t)form, 8);
        check_form((form_t)form, 80);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_form)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
