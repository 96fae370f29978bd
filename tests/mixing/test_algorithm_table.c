/* SPDX-License-Identifier: Apache-2.0 */
/* The table of algorithms against its users: parsing, default graphs, and the checks of options. */
#include "cmocka_all.h"

#include "mixing/algorithm_table.h"
#include "mixing/mixer_options.h"

#include <string.h>

static const sgp_algorithm_t all[] = {SGP_ALGORITHM_SGP,       SGP_ALGORITHM_OSGP,
                                      SGP_ALGORITHM_DPSGD,     SGP_ALGORITHM_ADPSGD,
                                      SGP_ALGORITHM_ALLREDUCE, SGP_ALGORITHM_SERVER};

enum { ALL = sizeof all / sizeof *all };

static void test_names(void **state) {
    (void)state;
    char joined[200] = "";
    sgp_algorithm_t found = SGP_ALGORITHM_DPSGD;
    for (int a = 0; a < ALL; a++) {
        const char *name = sgp_algorithm_name(all[a]);
        assert_int_equal(sgp_algorithm_parse(name, &found), SGP_OK);
        assert_int_equal(found, all[a]);
        strcat(joined, a ? ", " : "");
        strcat(joined, name);
    }
    assert_string_equal(sgp_algorithm_names(), joined);
    assert_string_equal(joined, "sgp, osgp, dpsgd, adpsgd, allreduce, server");
    assert_int_equal(sgp_algorithm_parse("sgd", &found), SGP_ERR_NOT_FOUND);
    assert_int_equal(found, SGP_ALGORITHM_SERVER);
    assert_string_equal(sgp_algorithm_name((sgp_algorithm_t)99), "unknown");
    assert_null(sgp_algorithm_info((sgp_algorithm_t)99));
}

/* The default graph of every algorithm is one that its own check accepts, and no pair algorithm gets a directed one. */
static void test_default_graphs(void **state) {
    (void)state;
    for (int a = 0; a < ALL; a++)
        for (int nodes = 1; nodes <= 9; nodes++) {
            sgp_mixer_options_t options = {.algorithm = all[a]};
            options.graph.kind = sgp_algorithm_default_graph(all[a]);
            options.graph.size = nodes;
            assert_int_equal(sgp_mixer_check(&options), SGP_OK);
            if (sgp_algorithm_info(all[a])->pairs) assert_true(sgp_graph_symmetric(&options.graph));
        }
}

/* An overlap and `biased` are accepted exactly where the table has an implementation. */
static void test_capabilities(void **state) {
    (void)state;
    for (int a = 0; a < ALL; a++) {
        const sgp_algorithm_info_t *info = sgp_algorithm_info(all[a]);
        sgp_mixer_options_t options = {.algorithm = all[a], .graph.size = 4};
        options.graph.kind = sgp_algorithm_default_graph(all[a]);
        assert_non_null(info->ops);
        assert_true(!info->no_overlap == (info->overlap_ops && info->async_ops));
        sgp_status_t expected = info->no_overlap ? SGP_ERR_INVALID : SGP_OK;
        options.overlap = 2;
        assert_int_equal(sgp_mixer_check(&options), expected);
        options.overlap = SGP_OVERLAP_ASYNC;
        assert_int_equal(sgp_mixer_check(&options), expected);
        options.overlap = 0;
        options.biased = true;
        bool pushes = all[a] == SGP_ALGORITHM_SGP || all[a] == SGP_ALGORITHM_OSGP;
        assert_int_equal(sgp_mixer_check(&options), pushes ? SGP_OK : SGP_ERR_INVALID);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_default_graphs),
        cmocka_unit_test(test_capabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
