/* SPDX-License-Identifier: Apache-2.0 */
#include "data/support.h"

#include "run/evaluate.h"

/* Together the slices are the whole set, in order, and differ by one sample at most. */
static void slices_are_a_partition(void **state) {
    (void)state;
    static const uint32_t counts[] = {1, 2, 7, 10000, UINT32_MAX};
    for (int c = 0; c < 5; c++)
        for (int size = 1; size <= 12; size++) {
            uint32_t share = counts[c] / (uint32_t)size;
            assert_int_equal(evaluate_slice(counts[c], 0, size), 0);
            assert_int_equal(evaluate_slice(counts[c], size, size), counts[c]);
            for (int rank = 0; rank < size; rank++) {
                uint32_t samples = evaluate_slice(counts[c], rank + 1, size) -
                                   evaluate_slice(counts[c], rank, size);
                assert_true(samples == share || samples == share + 1);
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_a_partition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
