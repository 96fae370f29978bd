/* SPDX-License-Identifier: Apache-2.0 */
/* The last numbers of each process, the losses and the curves, from metrics.jsonl and the processes' own lines. Called by
 * watch_directory.c. */
#ifndef SGP_WATCH_WATCH_METRICS_H
#define SGP_WATCH_WATCH_METRICS_H

#include "run/own_lines.h"

#include <jansson.h>
#include <stdbool.h>

enum { WATCH_POINTS = 512, WATCH_REASON = 128 };

typedef struct watch_process {
    bool known; /* some line is of it */
    int node, worker, epoch;
    double step, seconds, loss, lr, step_ms, gradient_ms, wait_ms, weight, samples_per_second;
    double accuracy; /* of the last evaluation */
    double time;     /* seconds since 1970, of its last line; NAN: not known */
    double every;    /* seconds between its lines; NAN: not known */
    char host[OWN_LINES_HOST];
    double lost_step; /* in which others noticed its loss; 0: it was not lost */
    int lost_epoch;   /* after which its lines are those of a newcomer in its place */
    bool left;
    char reason[WATCH_REASON];
} watch_process_t;

typedef struct watch_point {
    double seconds, step, value;
} watch_point_t;

/* Thinned out to WATCH_POINTS: every `stride`-th moment, and the last one. */
typedef struct watch_curve {
    int count, skipped, stride;
    watch_point_t point[WATCH_POINTS];
    watch_point_t last; /* the latest of all */
} watch_curve_t;

/* The lines of one step, or of the end of one epoch, one of each process. */
typedef struct watch_moment {
    int last, count; /* the process of the last line; lines */
    watch_point_t sum;
} watch_moment_t;

/* Zeros are an empty one. */
typedef struct watch_metrics {
    int workers; /* of a node; 0: 1 */
    int size;
    watch_process_t *process; /* (size) owned */
    long at;                  /* bytes of metrics.jsonl that were read */
    unsigned long long device, inode;
    watch_curve_t loss, accuracy;
    watch_moment_t steps, ends;
    double epoch, distance, distance_step, average_accuracy; /* of the last evaluation */
} watch_metrics_t;

/* Reads what is new. false: no memory. */
bool watch_metrics_read(watch_metrics_t *metrics, const char *directory);
void watch_metrics_release(watch_metrics_t *metrics);

/* Takes a list of losses as in summary.json, as it was known in that epoch. */
void watch_metrics_losses(watch_metrics_t *metrics, const json_t *losses, int epoch);

/* Takes one line of metrics.jsonl, without its newline. What is none is left out. */
void watch_metrics_line(watch_metrics_t *metrics, const char *line, size_t length);

/* Makes room for so many processes. false: no memory. */
bool watch_metrics_extend(watch_metrics_t *metrics, int size);

#endif
