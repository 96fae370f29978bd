/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/watch_view.h"

#include "cli/text.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Printable, one column wide, and neither combining nor changing the direction of others: ASCII, Latin, Greek, Cyrillic. */
static bool is_plain(uint32_t c) {
    if (c >= 0x20 && c < 0x7f) return true;
    return (c >= 0xa1 && c < 0x300 && c != 0xad) || (c >= 0x370 && c < 0x483) ||
           (c >= 0x48a && c < 0x530);
}

/* All of them are below 0x800: two bytes at most. */
char *watch_clean(const char *text, char *clean, size_t room) {
    size_t length = 0;
    for (uint32_t c = text_next(&text); c && length + 2 < room; c = text_next(&text)) {
        if (!is_plain(c)) c = '?';
        if (c < 0x80) clean[length++] = (char)c;
        else {
            clean[length++] = (char)(0xc0 | c >> 6);
            clean[length++] = (char)(0x80 | (c & 0x3f));
        }
    }
    clean[length] = '\0';
    return clean;
}

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void take_text(const json_t *object, const char *key, char *text, size_t room) {
    const char *value = json_string_value(json_object_get(object, key));
    watch_clean(value ? value : "", text, room);
}

static view_condition_t condition_of(const json_t *member) {
    static const char *const names[] = {"live", "silent", "joining", "left", "gone"};
    const char *value = json_string_value(json_object_get(member, "condition"));
    for (int i = 0; value && i < VIEW_UNKNOWN; i++)
        if (strcmp(value, names[i]) == 0) return (view_condition_t)i;
    return VIEW_UNKNOWN;
}

/* As far as it is one of a group. */
static long rank(double value) {
    return value >= 0 && value < 1e6 ? (long)value : 0;
}

static void take_member(view_member_t *member, const json_t *from) {
    double node = number(from, "node"), worker = number(from, "worker");
    if (isfinite(node) && isfinite(worker))
        snprintf(member->name, sizeof member->name, "%ld.%ld", rank(node), rank(worker));
    else snprintf(member->name, sizeof member->name, "%ld", rank(number(from, "seat")));
    member->condition = condition_of(from);
    member->slow = json_is_true(json_object_get(from, "slow"));
    take_text(from, "host", member->host, sizeof member->host);
    take_text(from, "reason", member->reason, sizeof member->reason);
    member->gone_step = number(from, "gone_step");
    member->step = number(from, "step");
    member->age = number(from, "age");
    member->samples_per_second = number(from, "samples_per_second");
    member->step_ms = number(from, "step_ms");
    member->compute_ms = number(from, "compute_ms");
    member->update_ms = number(from, "update_ms");
    member->wait_ms = number(from, "wait_ms");
    member->loss = number(from, "loss");
}

static bool take_members(watch_view_t *view, const json_t *members) {
    size_t count = json_array_size(members);
    if (count > VIEW_MEMBERS) count = VIEW_MEMBERS;
    view->member = calloc(count + 1, sizeof *view->member);
    if (!view->member) return false;
    for (size_t i = 0; i < count; i++) take_member(&view->member[i], json_array_get(members, i));
    view->members = (int)count;
    return true;
}

static void take_curve(watch_view_t *view, const json_t *curve) {
    for (size_t i = 0; i < json_array_size(curve) && view->points < VIEW_POINTS; i++) {
        const json_t *value = json_array_get(json_array_get(curve, i), 2);
        if (json_is_number(value) && isfinite(json_number_value(value)))
            view->curve[view->points++] = json_number_value(value);
    }
}

static void take_log(watch_view_t *view, const json_t *log) {
    size_t count = json_array_size(log), first = count > VIEW_LINES ? count - VIEW_LINES : 0;
    for (size_t i = first; i < count; i++)
        take_text(json_array_get(log, i), "text", view->line[view->lines++], VIEW_TEXT);
}

bool watch_view_fill(watch_view_t *view, const json_t *json) {
    memset(view, 0, sizeof *view);
    if (!take_members(view, json_object_get(json, "members"))) return false;
    take_text(json, "state", view->state, sizeof view->state);
    take_text(json, "reason", view->reason, VIEW_TEXT);
    take_text(json, "run", view->run, VIEW_TEXT);
    take_text(json, "directory", view->directory, VIEW_TEXT);
    take_text(json, "model", view->model, VIEW_TEXT);
    take_text(json, "data", view->data, VIEW_TEXT);
    take_text(json, "algorithm", view->algorithm, VIEW_TEXT);
    take_text(json, "graph", view->graph, VIEW_TEXT);
    take_text(json, "encoding", view->encoding, VIEW_TEXT);
    view->step = number(json, "step");
    view->steps = number(json, "steps");
    view->epoch = number(json, "epoch");
    view->epochs = number(json, "epochs");
    view->seconds = number(json, "seconds");
    view->seconds_left = number(json, "seconds_left");
    view->samples_per_second = number(json, "samples_per_second");
    view->loss = number(json, "loss");
    view->accuracy = number(json, "accuracy");
    view->average_model_accuracy = number(json, "average_model_accuracy");
    view->distance = number(json, "distance");
    view->live = number(json, "live");
    view->total = number(json, "total");
    take_curve(view, json_object_get(json_object_get(json, "curves"), "loss"));
    take_log(view, json_object_get(json, "log"));
    return true;
}

void watch_view_release(watch_view_t *view) {
    free(view->member);
    view->member = NULL;
    view->members = 0;
}

bool watch_view_is_good(const watch_view_t *view) {
    return strcmp(view->state, "running") == 0 || strcmp(view->state, "finished") == 0;
}
