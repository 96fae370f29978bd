/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include "cli/message.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Parts of the line, from left to right. */
typedef enum part {
    PART_EPOCH,
    PART_STEP,
    PART_LOSS,
    PART_ACCURACY,
    PART_SPEED,
    PART_DISTANCE,
    PART_LEFT,
    PARTS
} part_t;

static const part_t by_importance[PARTS] = {PART_EPOCH, PART_LEFT,  PART_LOSS,    PART_ACCURACY,
                                            PART_STEP,  PART_SPEED, PART_DISTANCE};

/* At the end of an epoch the step matters least. */
static const part_t at_epoch_end[PARTS] = {PART_EPOCH,    PART_LOSS, PART_ACCURACY, PART_SPEED,
                                           PART_DISTANCE, PART_STEP, PART_LEFT};

enum { PART_SIZE = 48 };

static void format_left(const train_progress_t *state, char *text) {
    if (state->epoch_end || !(state->seconds_left >= 0) || state->seconds_left > 1e7) return;
    unsigned long seconds = (unsigned long)(state->seconds_left + 0.5);
    if (seconds < 3600) snprintf(text, PART_SIZE, "%lu:%02lu left", seconds / 60, seconds % 60);
    else
        snprintf(text, PART_SIZE, "%lu:%02lu:%02lu left", seconds / 3600, seconds / 60 % 60,
                 seconds % 60);
}

/* A part without a value yet stays empty. */
static void format_parts(const train_progress_t *state, char parts[PARTS][PART_SIZE]) {
    memset(parts, 0, (size_t)PARTS * PART_SIZE);
    snprintf(parts[PART_EPOCH], PART_SIZE, "epoch %d/%d", state->epoch, state->epochs);
    snprintf(parts[PART_STEP], PART_SIZE, "step %" PRIu64 "/%" PRIu64, state->step, state->steps);
    if (isfinite(state->loss))
        snprintf(parts[PART_LOSS], PART_SIZE, state->loss < 1e4 ? "loss %.4f" : "loss %.2e",
                 state->loss);
    else if (state->epoch_end) strcpy(parts[PART_LOSS], "loss -");
    if (isfinite(state->test_accuracy))
        snprintf(parts[PART_ACCURACY], PART_SIZE, "accuracy %.4f", state->test_accuracy);
    if (state->samples_per_second > 0 && isfinite(state->samples_per_second))
        snprintf(parts[PART_SPEED], PART_SIZE, "%.0f samples/s", state->samples_per_second);
    if (isfinite(state->consensus_distance))
        snprintf(parts[PART_DISTANCE], PART_SIZE, "distance %.1e", state->consensus_distance);
    format_left(state, parts[PART_LEFT]);
}

void progress_format(const train_progress_t *state, int width, char *text, size_t size) {
    char parts[PARTS][PART_SIZE];
    bool taken[PARTS] = {false};
    size_t length = 0, room = width > 0 && (size_t)width < size ? (size_t)width : size - 1;
    format_parts(state, parts);
    for (int i = 0; i < PARTS; i++) {
        part_t part = state->epoch_end ? at_epoch_end[i] : by_importance[i];
        size_t more = strlen(parts[part]) + (length ? 2 : 0);
        if (parts[part][0] == '\0') continue;
        if (length + more > room) break;
        taken[part] = true;
        length += more;
    }
    text[0] = '\0';
    for (int part = 0; part < PARTS; part++) {
        if (!taken[part]) continue;
        if (text[0]) strcat(text, "  ");
        strcat(text, parts[part]);
    }
}

void progress_begin(progress_t *progress, bool silent) {
    *progress = (progress_t){.silent = silent};
}

void progress_show(const train_progress_t *state, void *user) {
    progress_t *progress = user;
    char text[512];
    if (progress->silent || !state->leads) return;
    if (state->epoch_end) {
        progress_format(state, message_width(), text, sizeof text);
        message_line("%s", text);
        progress->live = false;
    } else if (message_is_terminal()) {
        /* The last column stays free: a terminal may wrap when it is filled. */
        progress_format(state, message_width() - 1, text, sizeof text);
        message_progress(text);
        progress->live = true;
    }
}

static const char *plural(int count) {
    return count == 1 ? "" : "s";
}

void progress_resized(const train_resized_t *resized, void *user) {
    const progress_t *progress = user;
    const train_resumed_t *from = &resized->from;
    if (progress->silent) return;
    if (resized->steps == 0) {
        message_line(
            "resumed from step %" PRIu64 " of %d node%s with %d node%s: all steps are done",
            from->step, from->nodes, plural(from->nodes), resized->nodes, plural(resized->nodes));
        return;
    }
    message_line("resumed from step %" PRIu64 " of %d node%s with %d node%s: epoch %d/%d goes on "
                 "after %" PRIu64 " of %" PRIu64 " samples, %" PRIu64 " steps to go",
                 from->step, from->nodes, plural(from->nodes), resized->nodes,
                 plural(resized->nodes), resized->epoch, resized->epochs, resized->taken,
                 resized->samples, resized->steps);
}

enum { DIVIDED_NODES = 16, DIVIDED_CLASSES = 10 }; /* that are listed */

static int count_classes(const division_t *division, int node) {
    const uint64_t *counts = division->counts + (size_t)node * (size_t)division->classes;
    int classes = 0;
    for (int c = 0; c < division->classes; c++) classes += counts[c] > 0;
    return classes;
}

/* "node 3: 5200 samples, of class 0: 5000, 7: 200". Of many classes the first ones. */
static void show_node(const division_t *division, int node) {
    const uint64_t *counts = division->counts + (size_t)node * (size_t)division->classes;
    char text[DIVIDED_CLASSES * 40 + 40];
    size_t length = 0;
    int listed = 0, classes = count_classes(division, node);
    for (int c = 0; c < division->classes && listed < DIVIDED_CLASSES; c++) {
        if (counts[c] == 0) continue;
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%d: %" PRIu64,
                                   listed++ ? ", " : "", c, counts[c]);
    }
    if (classes > listed)
        snprintf(text + length, sizeof text - length, ", and %d more", classes - listed);
    message_line("node %d: %" PRIu64 " samples, of class %s", node, division_total(division, node),
                 text);
}

static void show_ranges(const division_rule_t *rule, const division_t *division) {
    char text[DIVISION_TEXT];
    uint64_t least = UINT64_MAX, most = 0;
    int few = division->classes, many = 0;
    for (int v = 0; v < division->nodes; v++) {
        uint64_t total = division_total(division, v);
        int classes = count_classes(division, v);
        if (total < least) least = total;
        if (total > most) most = total;
        if (classes < few) few = classes;
        if (classes > many) many = classes;
    }
    message_line("split %s: each node has %" PRIu64 " to %" PRIu64 " samples, of %d to %d classes",
                 division_print(rule, text), least, most, few, many);
}

void progress_divided(const division_rule_t *rule, const division_t *division, void *user) {
    const progress_t *progress = user;
    if (progress->silent) return;
    show_ranges(rule, division);
    for (int v = 0; v < division->nodes && division->nodes <= DIVIDED_NODES; v++)
        show_node(division, v);
}

void progress_end(progress_t *progress) {
    if (progress->live) message_progress(NULL);
    progress->live = false;
}
