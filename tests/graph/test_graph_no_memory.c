/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of the folder's calls fails once. */
#include "cmocka_all.h"
#include "failing_alloc.h"

#include "graph/analysis.h"

static void test_analysis(void **state) {
    (void)state;
    sgp_graph_t graph = {.kind = SGP_GRAPH_EXPONENTIAL, .size = 8, .peers = 2};
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_graph_analysis_t analysis = {.steps = -1};
        sgp_status_t status = FAILING(&failing, sgp_graph_analyze(&graph, 0, &analysis));
        assert_true((status == SGP_OK) == (analysis.steps != -1));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_analysis)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
