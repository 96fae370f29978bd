/* SPDX-License-Identifier: Apache-2.0 */
/* The object of watch.h as plain values, for drawing. It may be anything that is JSON: members of other types count as missing,
 * lists are cut, and every text is clean: printable characters of one column each, so that nothing that another machine
 * says can move the cursor, ring, or look like a line of ours. */
#ifndef SGP_WATCH_WATCH_VIEW_H
#define SGP_WATCH_WATCH_VIEW_H

#include <jansson.h>
#include <stdbool.h>

enum {
    VIEW_TEXT = 256,     /* bytes of a text, the last one 0 */
    VIEW_MEMBERS = 4096, /* that are kept, of any number */
    VIEW_POINTS = 1024,
    VIEW_LINES = 32
};

typedef enum view_condition {
    VIEW_LIVE,
    VIEW_SILENT,
    VIEW_JOINING,
    VIEW_LEFT,
    VIEW_GONE,
    VIEW_UNKNOWN
} view_condition_t;

/* Numbers that are not known are NAN. */
typedef struct view_member {
    char name[24]; /* "3", or "1.0": a worker of a node */
    view_condition_t condition;
    bool slow;
    char host[VIEW_TEXT], reason[VIEW_TEXT];
    double gone_step, step, age, samples_per_second, step_ms, compute_ms, update_ms, wait_ms, loss;
} view_member_t;

typedef struct watch_view {
    char state[32], reason[VIEW_TEXT];
    char run[VIEW_TEXT], directory[VIEW_TEXT], model[VIEW_TEXT], data[VIEW_TEXT];
    char algorithm[VIEW_TEXT], graph[VIEW_TEXT], encoding[VIEW_TEXT];
    double step, steps, epoch, epochs, seconds, seconds_left, samples_per_second, loss, accuracy,
        average_model_accuracy, distance, live, total;
    int members;
    view_member_t *member; /* (members) in order of seats; owned */
    int points;
    double curve[VIEW_POINTS]; /* (points) of the loss */
    int lines;
    char line[VIEW_LINES][VIEW_TEXT]; /* (lines) of the log */
} watch_view_t;

/* false: no memory. Release after success. */
bool watch_view_fill(watch_view_t *view, const json_t *json);
void watch_view_release(watch_view_t *view);

/* Whether the run runs or has finished. */
bool watch_view_is_good(const watch_view_t *view);

/* Copies the text, cut at `room` bytes (> 4): what is no printable character of one column becomes "?". Returns clean. */
char *watch_clean(const char *text, char *clean, size_t room);

#endif
