/* SPDX-License-Identifier: Apache-2.0 */
/* The same as one JSON object. */
#include "flight/flight_view.h"
#include "cli/exit_status.h"
#include "cli/message.h"
#include "cli/output.h"

#include "files/json.h"

#include <math.h>

static const char *state_name(flight_state_t state) {
    static const char *const names[] = {
        [FLIGHT_NOBODY] = "nobody", [FLIGHT_GONE] = "gone",     [FLIGHT_UNKNOWN] = "unknown",
        [FLIGHT_WAITS] = "waits",   [FLIGHT_INSIDE] = "inside", [FLIGHT_OUTSIDE] = "outside"};
    return names[state];
}

static json_t *process_or_null(int process) {
    return process >= 0 ? json_integer(process) : json_null();
}

static void set_wait(json_t *json, const flight_look_t *look) {
    size_t count;
    const int *peers = flight_wait_peers(look->wait, &count);
    json_t *from = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(from, json_integer(peers[i]));
    json_object_set_new(json, "for", json_string(sgp_flight_what_name((unsigned)look->wait->what)));
    json_object_set_new(json, "step", files_json_u64(look->wait->step));
    json_object_set_new(json, "from", from);
    json_object_set_new(json, "waits_for", process_or_null(look->next));
    json_object_set_new(json, "under_way", files_json_number(look->under_way));
    json_object_set_new(json, "root", process_or_null(look->root));
    json_object_set_new(json, "circle", process_or_null(look->circle));
}

static json_t *describe(const flight_looks_t *looks, int process) {
    const flight_look_t *look = &looks->of[process];
    char name[MESSAGE_NODE], text[FLIGHT_SENTENCE];
    json_t *json = json_object();
    message_node(process, name);
    flight_sentence(looks, process, text);
    json_object_set_new(json, "process", json_integer(process));
    json_object_set_new(json, "name", json_string(name));
    json_object_set_new(json, "file", look->source ? json_string(look->source->path) : json_null());
    json_object_set_new(json, "state", json_string(state_name(look->state)));
    json_object_set_new(json, "seconds", look->source ? json_real(look->seconds) : json_null());
    json_object_set_new(json, "steps", files_json_u64(look->steps));
    if (look->source) {
        const flight_node_t *node = &look->source->node;
        json_object_set_new(json, "why", json_string(node->why));
        json_object_set_new(json, "status", json_string(node->status));
        json_object_set_new(json, "call", json_string(look->group->call));
    }
    if (look->state == FLIGHT_WAITS) set_wait(json, look);
    json_object_set_new(json, "text", json_string(text));
    return json;
}

static json_t *list_roots(const flight_looks_t *looks) {
    json_t *roots = json_array();
    for (int p = 0; p < looks->processes; p++) {
        int waiting = 0;
        for (int q = 0; q < looks->processes; q++)
            waiting += q != p && looks->of[q].state == FLIGHT_WAITS && looks->of[q].root == p;
        if (waiting) json_array_append_new(roots, json_integer(p));
    }
    return roots;
}

static json_t *list_circles(const flight_looks_t *looks) {
    json_t *circles = json_array();
    for (int p = 0; p < looks->processes; p++) {
        if (looks->of[p].circle != p) continue;
        json_t *circle = json_array();
        int at = p;
        do {
            json_array_append_new(circle, json_integer(at));
            at = looks->of[at].next;
        } while (at != p);
        json_array_append_new(circles, circle);
    }
    return circles;
}

int flight_json_print(const flight_files_t *files, const flight_looks_t *looks) {
    files_json_begin();
    json_t *json = json_object(), *nodes = json_array();
    for (int p = 0; p < looks->processes; p++)
        if (looks->of[p].state != FLIGHT_NOBODY) json_array_append_new(nodes, describe(looks, p));
    json_object_set_new(json, "run", json_string(files->sources[0].node.run));
    json_object_set_new(json, "files", json_integer((json_int_t)files->count));
    json_object_set_new(json, "left_out", json_integer((json_int_t)files->left_out));
    json_object_set_new(json, "machines", json_integer(files->machines));
    json_object_set_new(json, "clock_doubt_seconds",
                        files->doubt >= 0 ? json_real((double)files->doubt / 1e9) : json_null());
    json_object_set_new(json, "holds_up", list_roots(looks));
    json_object_set_new(json, "circles", list_circles(looks));
    json_object_set_new(json, "nodes", nodes);
    bool printed = output_json(json, FILES_JSON_FLAGS);
    json_decref(json);
    return printed ? 0 : EXIT_FAILED;
}
