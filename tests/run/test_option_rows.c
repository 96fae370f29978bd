/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a run's options: complete, consistent, and together they fill every field. */
#include "data/support.h"

#include "files/json.h"
#include "run/config.h"
#include "run/option_rows.h"

static void names_are_unique(void **state) {
    (void)state;
    for (const option_t *row = train_option_rows; row->name; row++)
        for (const option_t *other = row + 1; other->name; other++)
            assert_string_not_equal(row->name, other->name);
}

static void every_row_explains_itself(void **state) {
    (void)state;
    for (const option_t *row = train_option_rows; row->name; row++) {
        if (!row->help || !*row->help) fail_msg("%s: has no help", row->name);
        if (!row->argument != option_is_flag(row)) fail_msg("%s: argument", row->name);
        bool parsed = row->type == OPTION_PARSED;
        if (parsed && !(row->parse && row->print && row->initial))
            fail_msg("%s: lacks parse, print or initial", row->name);
        if (parsed && !row->wanted && !option_choices(row))
            fail_msg("%s: lacks its right values", row->name);
        if (row->type == OPTION_CHOICE && !option_choices(row))
            fail_msg("%s: lacks choices", row->name);
        if (row->type == OPTION_REAL && !row->wanted) fail_msg("%s: lacks wanted", row->name);
    }
}

/* A default that the command line could not ask for is explained in words. */
static void defaults_are_in_range(void **state) {
    (void)state;
    for (const option_t *row = train_option_rows; row->name; row++) {
        train_options_t options;
        char text[OPTION_TEXT];
        train_options_unset(&options);
        assert_true(option_valid(row, &options));
        option_print(row, &options, 17, text);
        bool asked = option_parse(row, text, &options);
        bool optional = row->type == OPTION_PARSED && row->initial[0] == '\0';
        if (!asked && !row->shown && !optional) fail_msg("%s: default %s", row->name, text);
    }
}

/* Checkpoints hash the list: a gap or a place taken twice would change or cut it. */
static void places_in_the_agreement_are_complete(void **state) {
    (void)state;
    int count = 2, last = 0; /* those of the data */
    for (const option_t *row = train_option_rows; row->name; row++) {
        if (row->agreed == 0) continue;
        count++;
        if (row->agreed > last) last = row->agreed;
        for (const option_t *other = row + 1; other->name; other++)
            if (other->agreed == row->agreed) fail_msg("%s, %s", row->name, other->name);
    }
    assert_int_equal(count, last);
}

/* The manual lists under --resume every option that may change, and no other option of a run. */
static void resume_lists_what_may_change(void **state) {
    (void)state;
    const option_t *resume = train_option_rows;
    while (strcmp(resume->name, "resume") != 0) resume++;
    for (const option_t *row = train_option_rows; row->name; row++) {
        char name[80];
        snprintf(name, sizeof name, "--%s", row->name);
        const char *found = strstr(resume->more, name);
        bool listed = found && !strchr("-abcdefghijklmnopqrstuvwxyz", found[strlen(name)]);
        bool may = row->may_change || row->may_resize;
        if (row != resume && listed != may) fail_msg("%s", name);
    }
}

/* Every field has a value that is not its default. Fields are given without names, so that a new one is a warning
 * here: give it a value, which its row must carry. */
static const train_options_t unusual = {
    "mlp",
    "/data",
    {2, {{0, SGP_ALGORITHM_ALLREDUCE}, {3, SGP_ALGORITHM_OSGP}}},
    {2, {{0, 2}, {4, 1}}},
    SGP_GRAPH_RING,
    SGP_OVERLAP_ASYNC,
    true,
    3,
    0.25,
    7,
    true,
    5,
    0, /* here: no option */
    2,
    9,
    16,
    0.30000000000000004,
    0.5,
    "cosine",
    0.8,
    false,
    1e-5,
    "adam",
    1,
    UINT64_MAX,
    "/init",
    100,
    "mpi",
    "library",
    SGP_ENCODING_FLOAT16,
    "/output",
    "/resume",
    11,
    2.5,
    true,
    true,
    true,
    2,
    1.5,
    3.5,
    "paper",
    64,
    3,
    "stop",
    "continue",
    2,
    0.75,
    8.5,
    18,
    3.5,
    true,
    0.4,
    0.1,
    2,
    "auto",
    true,
    {DIVISION_DIRICHLET, 0, 0.30000000000000004},
    2.5,
    true,
    SGP_ROUNDS_AUTO,
    0.65,
    0.85,
    "wan",
    2.25,
};

/* Strings that differ in place but not in letters become the same. */
static void unify_strings(train_options_t *options, const train_options_t *with) {
    for (const option_t *row = train_option_rows; row->name; row++) {
        if (row->type != OPTION_STRING && row->type != OPTION_CHOICE) continue;
        const char **text = (const char **)((char *)options + row->offset);
        const char *there = *(const char *const *)((const char *)with + row->offset);
        if (*text && there && strcmp(*text, there) == 0) *text = there;
    }
}

static void assert_unusual(train_options_t *options, bool resumed) {
    unify_strings(options, &unusual);
    options->here = 0;
    if (resumed) {
        options->output = unusual.output;
        options->resume = unusual.resume;
    }
    const unsigned char *one = (const unsigned char *)options;
    const unsigned char *other = (const unsigned char *)&unusual;
    for (size_t i = 0; i < sizeof unusual; i++)
        if (one[i] != other[i]) fail_msg("byte %zu of train_options_t comes from no row", i);
}

static void no_field_is_without_a_row(void **state) {
    (void)state;
    static train_options_t options; /* static: padding is 0 */
    static char texts[64][OPTION_TEXT];
    train_options_unset(&options);
    int count = 0;
    for (const option_t *row = train_option_rows; row->name; row++) {
        char *text = texts[count++];
        option_print(row, &unusual, 17, text);
        if (!option_parse(row, text, &options)) fail_msg("--%s %s", row->name, text);
    }
    assert_unusual(&options, false);
}

static void config_json_keeps_every_option(void **state) {
    (void)state;
    static train_options_t options;
    config_mistake_t mistake;
    config_difference_t difference;
    json_t *made = config_options_json(&unusual);
    char *text = json_dumps(made, FILES_JSON_FLAGS);
    json_t *read = json_loads(text, 0, NULL);
    train_options_unset(&options);
    if (!config_options_read(read, &options, &mistake)) fail_msg("%s", mistake.key);
    assert_false(config_differs(read, &options, &difference));
    assert_unusual(&options, true);
    options.nodes++; /* other nodes may go on with the run */
    assert_false(config_differs(read, &options, &difference));
    options.lr = 1;
    assert_true(config_differs(read, &options, &difference));
    assert_string_equal(difference.key, "lr");
    assert_string_equal(difference.here, "1.0");
    free(text);
    json_decref(read);
    json_decref(made);
}

static void the_defaults_come_back_too(void **state) {
    (void)state;
    static train_options_t usual, options;
    config_mistake_t mistake;
    train_options_init(&usual);
    json_t *made = config_options_json(&usual);
    train_options_unset(&options);
    assert_true(config_options_read(made, &options, &mistake));
    train_options_settle(&options);
    unify_strings(&options, &usual);
    assert_memory_equal(&options, &usual, sizeof usual);
    json_decref(made);
}

static void a_value_of_the_wrong_type_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *json, *key;
        bool known;
    } wrong[] = {
        {"{\"lr\": \"fast\"}", "lr", true},
        {"{\"nodes\": -1}", "nodes", true},
        {"{\"data\": 5}", "data", false},
        {"{\"warp\": 9}", "warp", false},
        {"{\"nesterov\": 3}", "nesterov", true},
        {"{\"resume\": \"x\"}", "resume", false},
        {"{\"lr\": 1, \"seed\": []}", "seed", false},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        train_options_t options;
        config_mistake_t mistake;
        json_t *object = json_loads(wrong[i].json, 0, NULL);
        train_options_unset(&options);
        assert_false(config_options_read(object, &options, &mistake));
        assert_string_equal(mistake.key, wrong[i].key);
        assert_int_equal(mistake.option != NULL, wrong[i].known);
        json_decref(object);
    }
}

/* Short runs have defaults of their own, and what is given stays. */
static void defaults_follow_the_epochs(void **state) {
    (void)state;
    static const struct {
        const char *model;
        int epochs, augment;
        double lr;
        const char *schedule;
    } expected[] = {{"resnet20", TRAIN_SHORT_EPOCHS, 1, 0.1, "step"},
                    {"resnet20", TRAIN_SHORT_EPOCHS - 1, 0, 0.2, "cosine"},
                    {"resnet50", TRAIN_SHORT_EPOCHS, 1, 0.1, "step"},
                    {"resnet50", 1, 0, 0.1, "cosine"},
                    {"lenet", 90, 0, 0.1, "step"},
                    {"lenet", 3, 0, 0.1, "cosine"}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        train_options_t options;
        train_options_unset(&options);
        options.model = expected[i].model;
        options.epochs = expected[i].epochs;
        train_options_settle(&options);
        assert_int_equal(options.augment, expected[i].augment);
        assert_true(options.lr == expected[i].lr);
        assert_string_equal(options.lr_schedule, expected[i].schedule);
        options.epochs = 200 - options.epochs;
        train_options_settle(&options);
        assert_string_equal(options.lr_schedule, expected[i].schedule);
        assert_true(options.lr == expected[i].lr);
    }
}

static void defaults_that_follow(void **state) {
    (void)state;
    train_options_t options;
    train_options_unset(&options);
    assert_int_equal(options.augment, -1);
    options.model = "resnet20";
    options.epochs = TRAIN_SHORT_EPOCHS;
    options.slow_every = 12;
    train_options_settle(&options);
    assert_int_equal(options.augment, 1);
    assert_true(options.slow_momentum == 0.5);
    train_options_unset(&options);
    options.slow_momentum = 0.3;
    train_options_settle(&options);
    assert_int_equal(options.augment, 0);
    assert_int_equal(options.slow_every, 48);
    assert_int_equal(train_graph(&options, SGP_ALGORITHM_SGP), SGP_GRAPH_EXPONENTIAL);
    assert_int_equal(train_graph(&options, SGP_ALGORITHM_ADPSGD), SGP_GRAPH_BIPARTITE_EXPONENTIAL);
    options.graph = SGP_GRAPH_BASE;
    assert_int_equal(train_graph(&options, SGP_ALGORITHM_ADPSGD), SGP_GRAPH_BASE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(every_row_explains_itself),
        cmocka_unit_test(defaults_are_in_range),
        cmocka_unit_test(places_in_the_agreement_are_complete),
        cmocka_unit_test(resume_lists_what_may_change),
        cmocka_unit_test(no_field_is_without_a_row),
        cmocka_unit_test(config_json_keeps_every_option),
        cmocka_unit_test(the_defaults_come_back_too),
        cmocka_unit_test(a_value_of_the_wrong_type_is_refused),
        cmocka_unit_test(defaults_follow_the_epochs),
        cmocka_unit_test(defaults_that_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
