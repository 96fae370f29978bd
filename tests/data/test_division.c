/* SPDX-License-Identifier: Apache-2.0 */
/* Every sample belongs to one node; the parts follow the Dirichlet distribution, or each node has K classes. */
#include "data/support.h"

#include "data/division.h"

#include <math.h>

enum { CLASSES = 10, MOST_NODES = 16 };

/* Labels of a data set whose classes have different sizes: class c has every sample that is c mod 10, but class 9 only a few. */
static uint32_t label_of(const void *context, uint64_t sample) {
    (void)context;
    uint32_t label = (uint32_t)(sample % CLASSES);
    return label == 9 && sample > 300 ? 0 : label;
}

static division_options_t options_of(const char *rule, int nodes, uint64_t count, uint64_t seed) {
    division_options_t options = {
        .nodes = nodes, .classes = CLASSES, .count = count, .seed = seed, .label = label_of};
    assert_true(division_parse(rule, &options.rule));
    return options;
}

static division_t make(const division_options_t *options) {
    division_t division = {0};
    assert_int_equal(division_init(&division, options), SGP_OK);
    return division;
}

static uint64_t count_of(const division_t *division, int node, int class) {
    return division->counts[node * division->classes + class];
}

static void rules_are_text(void **state) {
    (void)state;
    static const char *const good[] = {"iid",
                                       "dirichlet:0.1",
                                       "dirichlet:0.001",
                                       "label:1",
                                       "dirichlet:1000000",
                                       "label:10",
                                       "dirichlet:0.30000000000000004"};
    static const char *const bad[] = {"",
                                      "IID",
                                      "iid:1",
                                      "dirichlet",
                                      "dirichlet:",
                                      "label",
                                      "label:",
                                      "dirichlet:0",
                                      "label:0",
                                      "label:-1",
                                      "dirichlet:-1",
                                      "dirichlet:nan",
                                      "label:1.5",
                                      "label:1x",
                                      "dirichlet:inf",
                                      "dirichlet:0.1x",
                                      "class:2",
                                      "label:9999999999999999999999"};
    char text[DIVISION_TEXT];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        division_rule_t rule;
        assert_true(division_parse(good[i], &rule));
        assert_string_equal(division_print(&rule, text), good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        division_rule_t rule = {.labels = 77};
        if (division_parse(bad[i], &rule)) fail_msg("%s is taken", bad[i]);
        assert_int_equal(rule.labels, 77);
    }
}

/* The lists of all nodes have each sample once, and as many of each class as the table says. */
static void assert_partition(const char *rule, int nodes, uint64_t count, uint64_t seed) {
    division_options_t options = options_of(rule, nodes, count, seed);
    division_t division = make(&options);
    uint8_t *owned = calloc(count, 1);
    uint64_t *samples = calloc(count, sizeof *samples);
    for (int v = 0; v < nodes; v++) {
        uint64_t total = division_total(&division, v), classes[CLASSES] = {0};
        assert_true(total > 0);
        assert_int_equal(division_list(&division, &options, v, samples), SGP_OK);
        for (uint64_t i = 0; i < total; i++) {
            assert_true(samples[i] < count && (i == 0 || samples[i] > samples[i - 1]));
            owned[samples[i]]++;
            classes[label_of(NULL, samples[i])]++;
        }
        for (int c = 0; c < CLASSES; c++) assert_int_equal(classes[c], count_of(&division, v, c));
    }
    for (uint64_t i = 0; i < count; i++) assert_int_equal(owned[i], 1);
    free(owned);
    free(samples);
    division_fini(&division);
}

static void every_sample_belongs_to_one_node(void **state) {
    (void)state;
    static const char *const rules[] = {"dirichlet:0.001", "dirichlet:0.1", "dirichlet:1",
                                        "dirichlet:1e6",   "label:1",       "label:3",
                                        "label:10"};
    static const uint64_t counts[] = {16, 17, 100, 5003};
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
            for (int nodes = 10; nodes <= MOST_NODES; nodes += 3)
                assert_partition(rules[r], nodes, counts[c], 3);
    assert_partition("dirichlet:0.1", 1, 50, 1);
    assert_partition("label:10", 1, 50, 1);
}

/* The k-th moment about 0 of a Dirichlet part, whose distribution is Beta(A, (n - 1) A). */
static double moment(double alpha, int nodes, int k) {
    double product = 1;
    for (int i = 0; i < k; i++) product *= (alpha + i) / (nodes * alpha + i);
    return product;
}

/* Mean and variance of the parts over many seeds, within five standard errors and the rounding to whole samples. */
static void assert_dirichlet(double alpha, int nodes) {
    enum { SEEDS = 400, COUNT = 20000, SIZED = CLASSES - 2 }; /* classes 1 to 8 have 2000 */
    char rule[DIVISION_TEXT];
    snprintf(rule, sizeof rule, "dirichlet:%g", alpha);
    double sum = 0, squares = 0, mean = 1.0 / nodes, rounding = 2.0 / (COUNT / CLASSES);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        division_options_t options = options_of(rule, nodes, COUNT, seed);
        division_t division = make(&options);
        for (int c = 1; c <= SIZED; c++) {
            double part = (double)count_of(&division, 1, c) / (COUNT / CLASSES);
            sum += part;
            squares += (part - mean) * (part - mean);
        }
        division_fini(&division);
    }
    double draws = SEEDS * SIZED, variance = mean * (1 - mean) / (nodes * alpha + 1);
    double m1 = moment(alpha, nodes, 1), m2 = moment(alpha, nodes, 2);
    double m3 = moment(alpha, nodes, 3), m4 = moment(alpha, nodes, 4);
    double fourth = m4 - 4 * m3 * m1 + 6 * m2 * m1 * m1 - 3 * m1 * m1 * m1 * m1;
    assert_true(fabs(sum / draws - mean) < 5 * sqrt(variance / draws) + rounding);
    double error = sqrt((fourth - variance * variance) / draws);
    if (!(fabs(squares / draws - variance) < 5 * error + 2 * rounding * sqrt(variance)))
        fail_msg("dirichlet:%g, %d nodes: variance %g, expected %g +- %g", alpha, nodes,
                 squares / draws, variance, error);
}

static void parts_are_dirichlet(void **state) {
    (void)state;
    assert_dirichlet(0.05, 4);
    assert_dirichlet(0.5, 4);
    assert_dirichlet(1, 3);
    assert_dirichlet(10, 8);
    assert_dirichlet(1000, 2);
}

/* The correlation of two parts of a class is -1 / (n - 1), and of one node's parts of two classes 0. */
static void classes_are_independent(void **state) {
    (void)state;
    enum { SEEDS = 2000, COUNT = 4000, EACH = COUNT / CLASSES };
    double nodes = 0, classes = 0, variance = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        division_options_t options = options_of("dirichlet:1", 4, COUNT, seed);
        division_t division = make(&options);
        double part = (double)count_of(&division, 0, 3) / EACH - 0.25;
        nodes += part * ((double)count_of(&division, 2, 3) / EACH - 0.25);
        classes += part * ((double)count_of(&division, 0, 5) / EACH - 0.25);
        variance += part * part;
        division_fini(&division);
    }
    assert_true(fabs(nodes / variance + 1.0 / 3) < 0.1);
    assert_true(fabs(classes / variance) < 0.1);
}

/* K classes each; the nodes of a class differ by one at most between classes, and share it equally. */
static void assert_labels(int labels, int nodes, uint64_t seed) {
    char rule[DIVISION_TEXT];
    snprintf(rule, sizeof rule, "label:%d", labels);
    division_options_t options = options_of(rule, nodes, 10000, seed);
    division_t division = make(&options);
    int least = nodes, most = 0;
    for (int v = 0; v < nodes; v++) {
        int held = 0;
        for (int c = 0; c < CLASSES; c++) held += count_of(&division, v, c) > 0;
        assert_int_equal(held, labels);
    }
    for (int c = 0; c < CLASSES; c++) {
        int holders = 0;
        uint64_t low = UINT64_MAX, high = 0;
        for (int v = 0; v < nodes; v++) {
            uint64_t count = count_of(&division, v, c);
            if (count == 0) continue;
            holders++;
            if (count < low) low = count;
            if (count > high) high = count;
        }
        assert_true(holders > 0 && high - low <= 1);
        if (holders < least) least = holders;
        if (holders > most) most = holders;
    }
    assert_true(most - least <= 1);
    division_fini(&division);
}

static void nodes_have_k_classes(void **state) {
    (void)state;
    for (int labels = 1; labels <= CLASSES; labels++)
        for (int nodes = 1; nodes <= MOST_NODES; nodes++)
            for (uint64_t seed = 1; seed <= 5 && labels * nodes >= CLASSES; seed++)
                assert_labels(labels, nodes, seed);
}

/* Another seed deals other classes, and the same one the same. */
static void the_seed_decides(void **state) {
    (void)state;
    static const char *const rules[] = {"dirichlet:0.5", "label:2"};
    for (int r = 0; r < 2; r++) {
        division_options_t one = options_of(rules[r], 8, 1000, 1),
                           other = options_of(rules[r], 8, 1000, 2);
        division_t first = make(&one), again = make(&one), different = make(&other);
        assert_int_equal(division_hash(&first), division_hash(&again));
        assert_memory_equal(first.counts, again.counts, 8 * CLASSES * sizeof *first.counts);
        assert_int_not_equal(division_hash(&first), division_hash(&different));
        division_fini(&first);
        division_fini(&again);
        division_fini(&different);
    }
}

/* With next to no A each class goes to one node: nodes without any get one sample of somebody's. */
static void no_node_is_without_a_sample(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        division_options_t options = options_of("dirichlet:0.001", MOST_NODES, 1000, seed);
        division_t division = make(&options);
        int single = 0;
        for (int v = 0; v < MOST_NODES; v++) {
            assert_true(division_total(&division, v) > 0);
            single += division_total(&division, v) == 1;
        }
        assert_true(single >= MOST_NODES - CLASSES);
        division_fini(&division);
    }
}

static void assert_refused(const char *rule, int nodes, uint64_t count, const char *text) {
    division_options_t options = options_of(rule, nodes, count, 1);
    division_t division = {.nodes = 77};
    log_start();
    assert_int_equal(division_init(&division, &options), SGP_ERR_INVALID);
    assert_logged(rule, text, NULL);
    assert_int_equal(division.nodes, 77);
}

/* A run that goes on with fewer nodes than its rule needs: nodes keep their K classes, and the others belong to nobody. */
static void classes_that_no_node_is_dealt_are_left_out(void **state) {
    (void)state;
    division_options_t options = options_of("label:3", 2, 10000, 1);
    log_start();
    assert_int_equal(division_check(&options.rule, 2, CLASSES, 10000), SGP_ERR_INVALID);
    assert_logged("label:3", "label:5 at least", NULL);
    assert_int_equal(division_check(&options.rule, 4, CLASSES, 10000), SGP_OK);
    division_t division = make(&options);
    int dealt = 0;
    for (int c = 0; c < CLASSES; c++)
        dealt += count_of(&division, 0, c) + count_of(&division, 1, c) > 0;
    assert_int_equal(dealt, 6);
    division_fini(&division);
}

static void what_cannot_be_divided_is_refused(void **state) {
    (void)state;
    assert_refused("label:11", 4, 1000, "label:1 to label:10");
    assert_refused("label:3", 8, 7, "8 nodes need as many training samples");
    assert_refused("dirichlet:1", 8, 7, "and there are 7");
    assert_refused("label:6", 4, 5, "label:1 to label:5"); /* five classes have samples */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_text),
        cmocka_unit_test(every_sample_belongs_to_one_node),
        cmocka_unit_test(parts_are_dirichlet),
        cmocka_unit_test(classes_are_independent),
        cmocka_unit_test(nodes_have_k_classes),
        cmocka_unit_test(the_seed_decides),
        cmocka_unit_test(no_node_is_without_a_sample),
        cmocka_unit_test(classes_that_no_node_is_dealt_are_left_out),
        cmocka_unit_test(what_cannot_be_divided_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
