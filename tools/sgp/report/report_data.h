/* SPDX-License-Identifier: Apache-2.0 */
/* What `sgp report` knows of runs: read from their directories into plain structs, thinned out to
 * what a plot can show. Runs that were interrupted count with what they have. */
#ifndef SGP_REPORT_REPORT_DATA_H
#define SGP_REPORT_REPORT_DATA_H

#include <jansson.h>
#include <stdbool.h>

/* Points that a curve is thinned out to. */
enum { REPORT_POINTS = 240 };

typedef struct report_point {
    double step;    /* of the run; of a simulation: nodes */
    double epoch;   /* fractions of one between evaluations */
    double seconds; /* of training */
    double value;   /* mean over the nodes */
    double low, high;
} report_point_t;

typedef struct report_curve {
    report_point_t *points; /* (count); finite, in order of step */
    int count;
    int room;
} report_curve_t;

/* Means over the steps of one node, in milliseconds. */
typedef struct report_node {
    int node;
    double steps; /* 0: nothing is known of it */
    double gradient_ms, update_ms, wait_ms;
} report_node_t;

/* A run; or of a simulation an algorithm, with a label and the last three curves alone. */
typedef struct report_run {
    char *directory; /* clean text */
    char *label;     /* clean text, short, and unique in the report */
    json_t *config;  /* config.json; NULL: missing */
    json_t *result;  /* summary.json, or what the other files say of its members */
    char *status; /* clean text: summary.json's "finished", "diverged", "interrupted", "failed", or
                        "unfinished": there is none */
    char *reason; /* clean text, why it is not finished; NULL: not said */
    int epochs_done;
    int damaged_lines; /* of metrics.jsonl, left out */
    report_curve_t loss, accuracy;
    report_curve_t consensus;   /* while training, or, of a run without, */
    report_curve_t evaluations; /* of it at evaluations, when nothing is in flight */
    report_curve_t step_ms, efficiency, hours;
    report_node_t *nodes; /* (node_count), by number */
    int node_count;
} report_run_t;

typedef struct report {
    report_run_t *runs; /* (count) */
    int count;
    json_t *simulation; /* simulation.json; NULL: these are runs */
} report_t;

/* Whether the run came to its end. */
bool report_finished(const report_run_t *run);

void report_run_release(report_run_t *run);
void report_release(report_t *report);

/* A member of the result, such as "nodes" or "test_accuracy.mean"; NULL: there is none. */
const json_t *report_member(const report_run_t *run, const char *key);

/* A number of the result; NAN: there is none. */
double report_number(const report_run_t *run, const char *key);

/* The accuracy of a run's result: of the averaged model, which is the one that the run leaves, or
 * where that is not known the mean of the nodes' own. NAN: there is none. */
double report_accuracy(const report_run_t *run);

/* Whether the run pushes: a graph, peers and an overlap mean nothing for all-reduce. */
bool report_gossips(const report_run_t *run);

/* Whether the runs do not all have the same value there. */
bool report_differs(const report_t *report, const char *key);

#endif
