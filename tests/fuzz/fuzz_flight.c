/* SPDX-License-Identifier: Apache-2.0 */
/* A file of the flight recorder, as it is. */
#include "fuzz.h"

#include "files/flight_reader.h"

enum { MOST = 65536 };

static void check_process(int process) {
    FUZZ_CHECK(process >= -1 && process < MOST);
}

static void check_wait(const flight_wait_t *wait) {
    FUZZ_CHECK((unsigned)wait->what < SGP_FLIGHT_WHATS);
    FUZZ_CHECK(wait->since >= 0 && wait->woke >= 0);
    if (wait->there) check_process(wait->peer);
    for (size_t i = 0; i < wait->missing_count; i++)
        FUZZ_CHECK(wait->missing[i] >= 0 && wait->missing[i] < MOST);
}

static void check_events(const flight_node_t *node, const flight_event_t *events, size_t count) {
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(events[i].kind <= SGP_FLIGHT_KINDS && events[i].name < node->name_count);
        FUZZ_CHECK(i == 0 || events[i].time >= events[i - 1].time);
        check_process(events[i].peer);
    }
}

static void check_group(const flight_node_t *node, const flight_group_t *group) {
    FUZZ_CHECK(group->process >= 0 && group->process < MOST);
    FUZZ_CHECK(fuzz_is_text(group->call, sizeof group->call));
    check_wait(&group->caller);
    check_wait(&group->messages);
    check_wait(&group->failed);
    for (size_t p = 0; p < group->peer_count; p++) {
        FUZZ_CHECK(group->peers[p].process >= 0 && group->peers[p].process < MOST);
        FUZZ_CHECK(fuzz_is_text(group->peers[p].why, FLIGHT_TEXT));
    }
    for (int c = 0; c < SGP_FLIGHT_CONTEXTS; c++)
        check_events(node, group->events[c], group->event_count[c]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static flight_node_t node;
    char problem[FLIGHT_PROBLEM] = "";
    if (flight_parse((const char *)data, size, &node, problem) != SGP_OK) {
        FUZZ_CHECK(strlen(problem) > 0 && node.group_count == 0);
        return 0;
    }
    FUZZ_CHECK(node.process >= 0 && node.process < MOST && node.workers >= 1);
    FUZZ_CHECK(node.group_count >= 1 && node.group_count <= FLIGHT_GROUPS);
    FUZZ_CHECK(node.name_count <= FLIGHT_NAMES);
    for (size_t n = 0; n < node.name_count; n++)
        FUZZ_CHECK(fuzz_is_text(node.names[n], FLIGHT_NAME));
    for (size_t g = 0; g < node.group_count; g++) check_group(&node, &node.groups[g]);
    flight_release(&node);
    return 0;
}
