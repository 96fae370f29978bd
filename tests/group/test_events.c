/* SPDX-License-Identifier: Apache-2.0 */
/* The events of a group whose other nodes are processes that are stopped, go on, leave, and are killed. */
#include "ranks.h"

#include <sgp/sgp.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A stopped process has to go on before it counts as lost: between a third of this and all of it. */
enum { PEER_TIMEOUT_MS = 9000, NODES = 3, MOST_SECONDS = 120 };

typedef struct place {
    const char *transport;
    char directory[32];        /* shm meets in it */
    char at[SGP_ADDRESS_TEXT]; /* tcp */
    pid_t children[NODES];
    int go[NODES]; /* pipes: closing one tells the child to leave */
    sgp_group_t *group;
} place_t;

static sgp_group_t *join(const place_t *place, int rank) {
    bool shm = !strcmp(place->transport, "shm");
    sgp_group_t *group = NULL;
    sgp_group_options_t options = {.rank = rank,
                                   .size = NODES,
                                   .claim_rank = true,
                                   .rendezvous = shm ? place->directory : NULL,
                                   .join = shm ? NULL : place->at,
                                   .join_timeout_ms = 60000,
                                   .timeout_ms = 60000,
                                   .transport = place->transport,
                                   .peer_timeout_ms = PEER_TIMEOUT_MS};
    return sgp_group_join(&options, &group) == SGP_OK ? group : NULL;
}

/* Until the pipe ends. */
static void child(const place_t *place, int rank, int pipe) {
    char byte;
    sgp_group_t *group = join(place, rank);
    if (!group || sgp_group_barrier(group) != SGP_OK) _exit(1);
    while (read(pipe, &byte, 1) < 0 && errno == EINTR) {
    }
    sgp_group_leave(group);
    _exit(0);
}

static void start(place_t *place, const char *transport) {
    memset(place, 0, sizeof *place);
    place->transport = transport;
    strcpy(place->directory, "/tmp/sgp-test-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    ranks_free_address(place->at);
    for (int r = 1; r < NODES; r++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        place->children[r] = fork();
        if (place->children[r] == 0) {
            for (int other = 1; other < r; other++) close(place->go[other]);
            close(ends[1]);
            child(place, r, ends[0]);
        }
        close(ends[0]);
        place->go[r] = ends[1];
    }
    place->group = join(place, 0);
    assert_non_null(place->group);
    assert_int_equal(sgp_group_barrier(place->group), SGP_OK);
}

static void end(place_t *place) {
    sgp_group_leave(place->group);
    for (int r = 1; r < NODES; r++) {
        if (place->go[r]) close(place->go[r]);
        waitpid(place->children[r], NULL, 0);
    }
    rmdir(place->directory);
}

/* The next event, which comes within a generous time. */
static sgp_event_t next_event(sgp_group_t *group) {
    sgp_event_t event;
    sgp_status_t status;
    struct pollfd file = {.fd = sgp_group_descriptor(group), .events = POLLIN};
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t last = now.tv_sec + MOST_SECONDS;
    while ((status = sgp_group_next_event(group, &event)) == SGP_ERR_AGAIN && now.tv_sec < last) {
        assert_string_equal(sgp_last_error(), "");
        poll(&file, 1, MOST_SECONDS * 1000);
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    assert_int_equal(status, SGP_OK);
    return event;
}

static void check(sgp_event_t event, sgp_event_kind_t kind, int rank) {
    if (event.kind != kind || event.rank != rank)
        fail_msg("event %d of node %d (%s), not %d of node %d", (int)event.kind, event.rank,
                 event.reason, (int)kind, rank);
    assert_true(event.age >= 0 && event.age < MOST_SECONDS);
    assert_true((event.reason[0] != '\0') == (kind == SGP_EVENT_LOST));
}

static void test_a_node_that_stops_and_goes_on(void **state) {
    place_t place;
    start(&place, *state);
    kill(place.children[1], SIGSTOP);
    check(next_event(place.group), SGP_EVENT_SILENT, 1);
    kill(place.children[1], SIGCONT);
    check(next_event(place.group), SGP_EVENT_BACK, 1);
    close(place.go[1]);
    place.go[1] = 0;
    check(next_event(place.group), SGP_EVENT_LEFT, 1);
    kill(place.children[2], SIGKILL);
    sgp_event_t lost = next_event(place.group);
    check(lost, SGP_EVENT_LOST, 2);
    assert_int_equal(sgp_group_lost_peer(place.group), 2);
    assert_int_equal(sgp_group_barrier(place.group), SGP_ERR_PEER_LOST);
    assert_non_null(strstr(sgp_last_error(), lost.reason)); /* as in the log */
    sgp_event_t none;
    assert_int_equal(sgp_group_next_event(place.group, &none), SGP_ERR_AGAIN);
    end(&place);
}

/* Also while a call is in the middle, and with the size of another version. */
static void test_in_the_middle_of_a_call(void **state) {
    place_t place;
    sgp_event_t event;
    struct {
        sgp_event_t event;
        int later;
    } newer;
    start(&place, *state);
    sgp_group_set_slice(place.group, 1);
    assert_int_equal(sgp_group_barrier(place.group), SGP_ERR_AGAIN);
    assert_int_equal(sgp_group_next_event(place.group, &event), SGP_ERR_AGAIN);
    assert_int_equal(sgp_group_next_event_sized(place.group, &event, 8), SGP_ERR_INVALID);
    assert_non_null(strstr(sgp_last_error(), "event: a struct of 8 bytes"));
    kill(place.children[2], SIGKILL);
    check(next_event(place.group), SGP_EVENT_LOST, 2);
    sgp_status_t status;
    while ((status = sgp_group_barrier(place.group)) == SGP_ERR_AGAIN) {
    }
    assert_int_equal(status, SGP_ERR_PEER_LOST);
    kill(place.children[1], SIGKILL);
    newer.later = 7;
    do status = sgp_group_next_event_sized(place.group, &newer.event, sizeof newer);
    while (status == SGP_ERR_AGAIN);
    assert_int_equal(status, SGP_OK);
    assert_int_equal(newer.event.rank, 1);
    assert_int_equal(newer.later, 0);
    end(&place);
}

int main(void) {
    static char shm[] = "shm", tcp[] = "tcp";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_a_node_that_stops_and_goes_on, shm),
        cmocka_unit_test_prestate(test_a_node_that_stops_and_goes_on, tcp),
        cmocka_unit_test_prestate(test_in_the_middle_of_a_call, shm),
        cmocka_unit_test_prestate(test_in_the_middle_of_a_call, tcp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
