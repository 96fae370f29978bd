/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of the folder's calls fails once. */
#include "cmocka_all.h"
#include "failing_alloc.h"

#include "base/memory.h"
#include "base/trace.h"

#include <string.h>

/* Small blocks come from malloc, large ones from mmap. */
static void test_memory(void **state) {
    (void)state;
    for (size_t bytes = 1; bytes <= (size_t)64 << 20; bytes <<= 13) {
        failing_t failing = {0};
        while (failing_round(&failing)) {
            failing_on(&failing);
            char *memory = sgp_memory_alloc(bytes);
            failing_off(&failing);
            assert_true((memory == NULL) == failing_has_failed(&failing));
            if (memory) memory[bytes - 1] = 1;
            sgp_memory_free(memory);
        }
        assert_true(failing.round > 2);
    }
}

static void test_trace(void **state) {
    (void)state;
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_trace_t *trace = NULL;
        sgp_status_t status = FAILING(&failing, sgp_trace_create(1 << 17, &trace));
        assert_true((status == SGP_OK) == (trace != NULL));
        sgp_trace_destroy(trace);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
