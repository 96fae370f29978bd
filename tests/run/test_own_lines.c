/* SPDX-License-Identifier: Apache-2.0 */
/* What a process tells of its epoch is read as it was written, line by line while the file grows, and the lines of all
 * processes come together as at the end of an epoch. */
#include "data/support.h"

#include "files/atomic_file.h"
#include "run/live_merge.h"

#include <math.h>

enum { PROBE = 3 };

static char directory[64];

static int set_up(void **state) {
    (void)state;
    make_directory(directory);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_directory(directory);
    return 0;
}

static own_lines_head_t head_of(int process, int epoch) {
    return (own_lines_head_t){.run_id = "ab",
                              .epoch = epoch,
                              .process = process,
                              .node = process,
                              .host = "a",
                              .pid = 5,
                              .every = 0.5};
}

/* Line k of process p: sums over 10 samples. */
static metrics_record_t record_of(int p, int k) {
    return (metrics_record_t){.step = k,
                              .mean = {.loss_sum = 0.1 * k + p,
                                       .samples = 10,
                                       .lr = 0.1,
                                       .step_ms = k,
                                       .gradient_ms = k / 2.0,
                                       .wait_ms = p,
                                       .seconds = k / 3.0,
                                       .weight = 1}};
}

/* Process p is at (p + 1) (k, 2 k, 3 k). */
static void fill_probe(int p, int k, float probe[PROBE]) {
    for (int i = 0; i < PROBE; i++) probe[i] = (float)((p + 1) * (i + 1) * k);
}

static void begin(int process, int epoch) {
    char name[OWN_LINES_NAME];
    own_lines_head_t head = head_of(process, epoch);
    char *text = own_lines_head_text(&head);
    own_lines_name(process, name);
    assert_non_null(text);
    atomic_file_part_t part = {text, strlen(text)};
    assert_int_equal(atomic_file_replace(directory, name, &part, 1), SGP_OK);
    free(text);
}

static void append(int process, const char *text, size_t length) {
    char name[OWN_LINES_NAME];
    own_lines_name(process, name);
    assert_int_equal(atomic_file_grow(directory, name, text, length), SGP_OK);
}

static char *line_of(int process, int epoch, int k) {
    own_lines_head_t head = head_of(process, epoch);
    metrics_record_t record = record_of(process, k);
    float probe[PROBE];
    fill_probe(process, k, probe);
    return own_lines_text(&head, &record, probe, PROBE);
}

static void add_line(int process, int epoch, int k) {
    char *text = line_of(process, epoch, k);
    assert_non_null(text);
    append(process, text, strlen(text));
    free(text);
}

static void assert_record(const metrics_record_t *found, int p, int k) {
    metrics_record_t wanted = record_of(p, k);
    assert_true(found->step == wanted.step);
    assert_true(fabs(found->mean.loss_sum / found->mean.samples - wanted.mean.loss_sum / 10) <
                1e-14);
    assert_true(fabs(found->mean.seconds - wanted.mean.seconds) < 1e-14);
    assert_true(found->mean.step_ms == wanted.mean.step_ms && found->mean.lr == 0.1);
    assert_true(found->mean.gradient_ms == wanted.mean.gradient_ms && found->mean.wait_ms == p);
}

static void names_are_exact(void **state) {
    (void)state;
    static const char *const others[] = {"metrics.jsonl",        "metrics-.jsonl",
                                         "metrics-01.jsonl",     "metrics--1.jsonl",
                                         "metrics-1.jsonl.part", "metrics-1.json"};
    int process;
    assert_true(own_lines_is_name("metrics-12.jsonl", &process));
    assert_int_equal(process, 12);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(own_lines_is_name(others[i], &process));
}

/* Whatever piece of a line is there at the time. */
static void a_file_is_read_while_it_grows(void **state) {
    (void)state;
    own_lines_t own = {.at = 0};
    assert_true(own_lines_look(&own, directory, 1));
    assert_int_equal(own.head.epoch, 0);
    begin(1, 3);
    for (int k = 1; k <= METRICS_PER_EPOCH; k++) {
        char *text = line_of(1, 3, k);
        size_t length = strlen(text), cut = length * (size_t)k / (METRICS_PER_EPOCH + 1);
        append(1, text, cut);
        assert_true(own_lines_look(&own, directory, 1));
        assert_int_equal(own.count, k - 1);
        append(1, text + cut, length - cut);
        free(text);
        assert_true(own_lines_look(&own, directory, 1));
        assert_int_equal(own.count, k);
        assert_record(&own.lines[k - 1], 1, k);
        float probe[PROBE];
        fill_probe(1, k, probe);
        assert_memory_equal(own.probes + (k - 1) * PROBE, probe, sizeof probe);
    }
    assert_true(own.head.epoch == 3 && own.head.process == 1 && own.head.pid == 5);
    assert_string_equal(own.head.run_id, "ab");
    assert_false(own.bad);
    add_line(1, 3, 99); /* one more than an epoch has */
    assert_true(own_lines_look(&own, directory, 1));
    assert_true(own.bad && own.count == METRICS_PER_EPOCH);
    begin(1, 4);
    assert_true(own_lines_look(&own, directory, 1));
    assert_true(own.head.epoch == 4 && own.count == 0 && !own.bad);
    own_lines_release(&own);
}

static void recent_means_name_the_lost(void **state) {
    (void)state;
    own_lines_t own = {.at = 0};
    own_lines_head_t head = head_of(0, 2);
    own_lines_recent_t recent = {.record = record_of(0, 7), .time = 12.5, .samples_per_second = 80};
    train_loss_t loss = {.node = 2, .step = 6, .reason = "its process \"ended\"\n"};
    begin(0, 2);
    char *text = own_lines_recent_text(&head, &recent, &loss, 1);
    append(0, text, strlen(text));
    free(text);
    assert_true(own_lines_look(&own, directory, 0));
    assert_true(own.has_recent && own.count == 0);
    assert_record(&own.recent.record, 0, 7);
    assert_true(own.recent.time == 12.5 && own.recent.samples_per_second == 80);
    const json_t *lost = json_array_get(own.losses, 0);
    assert_int_equal(json_integer_value(json_object_get(lost, "node")), 2);
    assert_string_equal(json_string_value(json_object_get(lost, "reason")), loss.reason);
    own_lines_release(&own);
}

/* Numbers that do not exist stay that way. */
static void odd_lines(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "{}",
                                      "{\"epoch\":2}",
                                      "{\"epoch\":3,\"step\":1}",
                                      "{\"epoch\":2,\"step\":0}",
                                      "{\"epoch\":2,\"step\":1,\"probe\":\"!\"}",
                                      "{\"epoch\":2,\"step\":1,\"probe\":\"AAA=\"}"};
    static const char right[] = "{\"epoch\":2,\"step\":1,\"probe\":\"AAAAAA==\"}";
    own_lines_head_t head = head_of(0, 2);
    char *text = own_lines_head_text(&head);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        own_lines_t own = {.at = 0};
        assert_false(own_lines_parse(&own, bad[i], strlen(bad[i]))); /* no head yet */
        assert_true(own_lines_parse(&own, text, strlen(text)));
        assert_false(own_lines_parse(&own, bad[i], strlen(bad[i])));
        assert_true(own.count == 0 && !own.has_recent);
        assert_true(own_lines_parse(&own, right, sizeof right - 1));
        assert_true(own.count == 1 && isnan(own.lines[0].mean.loss_sum));
        own_lines_release(&own);
    }
    free(text);
}

/* ---- all processes ---- */

enum { SIZE = 3 };

static int look(live_merge_t *merge, const bool *there, metrics_lines_t *lines) {
    assert_int_equal(live_merge_look(merge, 1, there, lines), SGP_OK);
    int count = lines->count - lines->first;
    live_merge_taken(merge, lines->count ? lines : &(metrics_lines_t){.count = merge->taken});
    return count;
}

/* 1, 2 and 3 times a vector: the mean is 2, the root mean square from it sqrt(2/3). */
static void a_line_is_complete_with_the_last_process(void **state) {
    (void)state;
    live_merge_t merge;
    metrics_lines_t lines;
    bool there[SIZE] = {true, true, true};
    assert_int_equal(live_merge_init(&merge, SIZE, directory, "ab"), SGP_OK);
    for (int p = 0; p < SIZE; p++) {
        assert_int_equal(look(&merge, there, &lines), 0);
        begin(p, 1);
        add_line(p, 1, 1);
        if (p == 0) add_line(p, 1, 2);
    }
    assert_int_equal(look(&merge, there, &lines), 1);
    assert_true(lines.first == 0 && lines.size == SIZE);
    for (int p = 0; p < SIZE; p++) assert_record(&lines.records[p], p, 1);
    assert_true(fabs(lines.distances[0] - sqrt(2.0 / 3) / 2) < 1e-12);
    metrics_release(&lines);
    assert_int_equal(look(&merge, there, &lines), 0);
    there[2] = false; /* it is lost: line 2 is complete without it */
    add_line(1, 1, 2);
    assert_int_equal(look(&merge, there, &lines), 1);
    assert_true(lines.first == 1 && lines.there[0] && lines.there[1] && !lines.there[2]);
    assert_record(&lines.records[1 * lines.count + 1], 1, 2);
    metrics_release(&lines);
    there[2] = true; /* another one has its place: the rest is for the end of the epoch */
    for (int p = 0; p < SIZE; p++) add_line(p, 1, 3);
    assert_int_equal(look(&merge, there, &lines), 0);
    live_merge_fini(&merge);
}

/* Of another run, of another epoch, with another number of parameters: none of them completes a line. */
static void others_complete_no_line(void **state) {
    (void)state;
    static const char *const others[] = {"\"run_id\":\"ab\"", "\"epoch\":1", "\"process\":1"};
    static const char *const instead[] = {"\"run_id\":\"cd\"", "\"epoch\":2", "\"process\":2"};
    const bool there[2] = {true, true};
    for (int i = 0; i < 3; i++) {
        live_merge_t merge;
        metrics_lines_t lines;
        own_lines_head_t head = head_of(1, 1);
        assert_int_equal(live_merge_init(&merge, 2, directory, "ab"), SGP_OK);
        begin(0, 1);
        add_line(0, 1, 1);
        char *text = own_lines_head_text(&head), *at = strstr(text, others[i]);
        assert_non_null(at);
        memcpy(at, instead[i], strlen(instead[i]));
        atomic_file_part_t part = {text, strlen(text)};
        assert_int_equal(atomic_file_replace(directory, "metrics-1.jsonl", &part, 1), SGP_OK);
        add_line(1, i == 1 ? 2 : 1, 1);
        assert_int_equal(look(&merge, there, &lines), 0);
        live_merge_fini(&merge);
        free(text);
    }
}

static void all_files_of_a_directory(void **state) {
    (void)state;
    own_lines_t **own;
    int size;
    assert_int_equal(own_lines_read_all("/nonexistent", &own, &size), SGP_OK);
    assert_int_equal(size, 0);
    begin(0, 1);
    begin(3, 1);
    add_line(3, 1, 1);
    assert_int_equal(own_lines_read_all(directory, &own, &size), SGP_OK);
    assert_int_equal(size, 4);
    assert_true(own[0] && !own[1] && !own[2] && own[3] && own[3]->count == 1);
    own_lines_free(own, size);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_exact),
        cmocka_unit_test_setup_teardown(a_file_is_read_while_it_grows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(recent_means_name_the_lost, set_up, tear_down),
        cmocka_unit_test(odd_lines),
        cmocka_unit_test_setup_teardown(a_line_is_complete_with_the_last_process, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(others_complete_no_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_files_of_a_directory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
