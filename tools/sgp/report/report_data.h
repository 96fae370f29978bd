/* SPDX-License-Identifier: Apache-2.0 */
/* The data of a report: runs, or the algorithms of a simulation, as plain structs, with curves
 * thinned out to the resolution of a plot. report_read.h and report_simulation.h fill them in; the
 * rest of the folder reads them. */
#ifndef SGP_REPORT_REPORT_DATA_H
#define SGP_REPORT_REPORT_DATA_H

#include <jansson.h>
#include <stdbool.h>

/* The most points of a curve. */
enum { REPORT_POINTS = 240 };

typedef struct report_point {
    double step;    /* of the run; of a simulation: nodes */
    double epoch;   /* fractions of one between evaluations */
    double seconds; /* of training */
    double value;   /* mean over the nodes, as low and high are the extremes */
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
    double steps; /* 0: no measurements */
    double gradient_ms, update_ms, wait_ms;
} report_node_t;

/* A run; or an algorithm of a simulation, which has only a label and the last three curves. */
typedef struct report_run {
    char *directory; /* clean text */
    char *label;     /* clean text, short, and unique in the report */
    json_t *config;  /* config.json; NULL: missing */
    json_t *result;  /* summary.json, or its members as far as the other files have them */
    char *status; /* clean text: summary.json's "finished", "diverged", "interrupted", "failed", or
                        "unfinished": there is none */
    char *reason; /* clean text, why it is not finished; NULL: unknown */
    bool running; /* a process is working in the directory */
    int epochs_done;
    int damaged_lines;         /* of metrics.jsonl, left out */
    double replaced, left_out; /* pictures that could not be read, of all lines of metrics.jsonl */
    report_curve_t loss, accuracy;
    report_curve_t consensus;   /* distance while training; where that is missing, at evaluations */
    report_curve_t evaluations; /* distance at evaluations, when no message is in flight */
    report_curve_t step_ms, efficiency, hours;
    report_node_t *nodes; /* (node_count), by number */
    int node_count;
} report_run_t;

typedef struct report {
    report_run_t *runs; /* (count) */
    int count;
    json_t *simulation; /* simulation.json; NULL: these are runs */
} report_t;

/* Whether the run finished. */
bool report_finished(const report_run_t *run);

void report_run_release(report_run_t *run);
void report_release(report_t *report);

/* A member of the result, such as "nodes" or "test_accuracy.mean"; NULL: missing. */
const json_t *report_member(const report_run_t *run, const char *key);

/* A number of the result; NAN: missing. */
double report_number(const report_run_t *run, const char *key);

/* The accuracy of the averaged model, which the run leaves; where that is missing, the mean over
 * the nodes' own models. NAN: neither is known. */
double report_accuracy(const report_run_t *run);

/* Whether the run pushes. All-reduce has no graph, peers or overlap. */
bool report_gossips(const report_run_t *run);

/* Whether the runs have different values of a member. */
bool report_differs(const report_t *report, const char *key);

#endif
