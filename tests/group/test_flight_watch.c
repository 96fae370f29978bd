/* SPDX-License-Identifier: Apache-2.0 */
/* When the flight recorder is written, and where: on SIGQUIT while a caller hangs, at a failure, when asked; nowhere without a folder. */
#include "ranks.h"

#include "group/flight_watch.h"
#include "group/group_internal.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static void enter(bool failures) {
    strcpy(folder, "/tmp/sgp-test-flight-XXXXXX");
    assert_non_null(mkdtemp(folder));
    sgp_flight_watch_into(folder, failures);
}

/* Returns how many files there were. */
static int leave(void) {
    DIR *list = opendir(folder);
    struct dirent *entry;
    int files = 0;
    char path[400];
    while ((entry = readdir(list))) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
        files++;
    }
    closedir(list);
    rmdir(folder);
    sgp_flight_watch_into(NULL, false);
    return files;
}

/* Whether rank's file is there, and has this text. */
static bool file_has(int rank, const char *text) {
    enum { ROOM = 1 << 20 };
    static _Thread_local char bytes[ROOM];
    char path[100];
    snprintf(path, sizeof path, "%s/flight-%d.json", folder, rank);
    FILE *file = fopen(path, "r");
    size_t count = file ? fread(bytes, 1, sizeof bytes - 1, file) : 0;
    if (file) fclose(file);
    bytes[count] = 0;
    return file && strstr(bytes, text);
}

typedef void (*handler_t)(int number);

static handler_t handler(void) {
    struct sigaction now;
    sigaction(SIGQUIT, NULL, &now);
    return now.sa_handler;
}

static const ranks_setup_t three = {.shm = true, .loopback = {.size = 3}};

/* ---- SIGQUIT ---- */

/* Ranks 1 and 2 hang in a barrier that rank 0 enters once their files are there. */
static void hang(sgp_group_t *group, void *context) {
    (void)context;
    if (sgp_group_rank(group) == 0)
        while (!file_has(1, "\"for\": \"collective\", \"peer\": 0") ||
               !file_has(2, "\"for\": \"collective\", \"peer\": 0") || !file_has(0, "SIGQUIT")) {
            kill(getpid(), SIGQUIT);
            sched_yield();
        }
    CHECK(sgp_group_barrier(group) == SGP_OK);
}

static void test_sigquit_while_callers_hang(void **state) {
    (void)state;
    signal(SIGQUIT, SIG_DFL); /* the background of a shell ignores it */
    enter(false);
    run_groups(&three, hang, NULL);
    assert_int_equal(leave(), 3);
    assert_true(handler() == SIG_DFL);
}

/* The handler while there are groups. */
typedef struct seen {
    handler_t handler;
} seen_t;

static void look_at_handler(sgp_group_t *group, void *context) {
    seen_t *seen = context;
    CHECK(sgp_group_barrier(group) == SGP_OK);
    if (sgp_group_rank(group) == 0) seen->handler = handler();
    CHECK(sgp_group_barrier(group) == SGP_OK);
}

static void ignore(int number) {
    (void)number;
}

static void test_the_signal_of_others_is_left_alone(void **state) {
    (void)state;
    const handler_t theirs[] = {SIG_IGN, ignore};
    seen_t seen;
    run_groups(&three, look_at_handler, &seen); /* nobody names a folder */
    assert_true(seen.handler == SIG_DFL);
    enter(true);
    for (int i = 0; i < 2; i++) {
        signal(SIGQUIT, theirs[i]);
        run_groups(&three, look_at_handler, &seen);
        assert_true(seen.handler == theirs[i] && handler() == theirs[i]);
    }
    signal(SIGQUIT, SIG_DFL);
    run_groups(&three, look_at_handler, &seen);
    assert_true(seen.handler != SIG_DFL && handler() == SIG_DFL);
    assert_int_equal(leave(), 0);
}

/* ---- failures ---- */

/* Rank 0 waits for the others in vain; they come once it has given up. */
static void give_up(sgp_group_t *group, void *context) {
    atomic_bool *given_up = context;
    uint64_t usual = sgp_group_timeout(group);
    if (sgp_group_rank(group) == 0) {
        sgp_group_set_timeout(group, 1);
        CHECK(sgp_group_barrier(group) == SGP_ERR_TIMEOUT);
        CHECK(strstr(sgp_last_error(), "gave up waiting"));
        sgp_group_set_timeout(group, usual);
        atomic_store(given_up, true);
    } else
        while (!atomic_load(given_up)) sched_yield();
}

static void test_a_failure_is_written_once(void **state) {
    (void)state;
    for (int failures = 0; failures < 2; failures++) {
        atomic_bool given_up = false;
        enter(failures);
        run_groups(&three, give_up, &given_up);
        bool written = file_has(0, "\"why\": \"failure\",\n\"status\": \"SGP_ERR_TIMEOUT\"");
        assert_int_equal(written, failures);
        assert_int_equal(leave(), failures);
    }
}

/* ---- asked ---- */

static void ask(sgp_group_t *group, void *context) {
    (void)context;
    CHECK(sgp_group_barrier(group) == SGP_OK);
    if (sgp_group_rank(group) == 1) CHECK(sgp_flight_watch_write("asked") == SGP_OK);
    CHECK(sgp_group_barrier(group) == SGP_OK);
}

static void test_asked(void **state) {
    (void)state;
    assert_int_equal(sgp_flight_watch_write("asked"), SGP_ERR_INVALID);
    enter(false);
    run_groups(&three, ask, NULL);
    assert_true(file_has(2, "\"why\": \"asked\""));
    assert_true(file_has(2, "\"sgp_group_barrier\""));
    assert_int_equal(leave(), 3);
    strcpy(folder, "/dev/null/none");
    sgp_flight_watch_into(folder, false);
    assert_int_equal(sgp_flight_watch_write("asked"), SGP_OK); /* of nobody */
    sgp_flight_watch_into(NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sigquit_while_callers_hang),
        cmocka_unit_test(test_the_signal_of_others_is_left_alone),
        cmocka_unit_test(test_a_failure_is_written_once),
        cmocka_unit_test(test_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
