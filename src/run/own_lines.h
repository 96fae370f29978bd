/* SPDX-License-Identifier: Apache-2.0 */
/* metrics-R.jsonl: what process R tells of the epoch under way, in a file of its own beside metrics.jsonl (run/run_live.h says
 * when it is written). Only R writes it, so its lines depend on no other node. The first line says whose they are:
 *   {"run_id": "...", "epoch": 3, "process": 5, "node": 2, "worker": 1, "host": "a", "pid": 123, "every": 10.0}
 * The others are of two kinds. A line of metrics.jsonl as soon as R has made it, with the probe in place of the distance that
 * follows from the probes of all nodes:
 *   {"epoch": 3, "step": 40, "node": 2, "worker": 1, "seconds": ..., "loss": ..., "lr": ..., "step_ms": ...,
 *    "gradient_ms": ..., "wait_ms": ..., "weight": ..., "probe": "..."}
 * (probe: little-endian float32 in base64), and every few seconds means over the steps since the last line of this kind:
 *   {"epoch": 3, "step": 47, "node": 2, "worker": 1, "time": ..., "samples_per_second": ..., "seconds": ..., ...}
 * (time: seconds since 1970, by R's clock; "losses" as in summary.json if R knows of any). "worker" is left out where a node
 * has one. Written by the run; read by the node that writes metrics.jsonl, by reports and by `sgp status`, to which the bytes
 * are foreign. */
#ifndef SGP_RUN_OWN_LINES_H
#define SGP_RUN_OWN_LINES_H

#include "run/metrics.h"
#include "run/run_id.h"

#include <jansson.h>

enum { OWN_LINES_NAME = 32, OWN_LINES_HOST = 65 };

/* metrics-R.jsonl */
void own_lines_name(int process, char name[OWN_LINES_NAME]);

/* Whether a file is called so; *process: of which. */
bool own_lines_is_name(const char *name, int *process);

/* The first line. */
typedef struct own_lines_head {
    char run_id[RUN_ID_TEXT];
    int epoch; /* from 1; 0: no file was read */
    int process, node, worker;
    bool workers; /* the node has several */
    char host[OWN_LINES_HOST];
    int64_t pid;
    double every; /* seconds between two writes */
} own_lines_head_t;

/* Means over the last steps. */
typedef struct own_lines_recent {
    metrics_record_t record; /* loss_sum and samples are sums, times are means */
    double time;             /* seconds since 1970 */
    double samples_per_second;
} own_lines_recent_t;

/* Each line as text with its newline, released with free; NULL without memory. */
char *own_lines_head_text(const own_lines_head_t *head);
char *own_lines_text(const own_lines_head_t *head, const metrics_record_t *record,
                     const float *probe, size_t count);
char *own_lines_recent_text(const own_lines_head_t *head, const own_lines_recent_t *recent,
                            const train_loss_t *losses, int loss_count);

/* ---- reading ---- */

/* What was read of one file. Zeros are a reader that has read nothing. */
typedef struct own_lines {
    own_lines_head_t head;
    size_t probe;                                /* floats of each probe */
    uint64_t count;                              /* lines of metrics.jsonl */
    metrics_record_t lines[METRICS_PER_EPOCH];   /* (count) loss_sum is the loss, samples 1 */
    float probes[METRICS_PER_EPOCH * PROBE_MAX]; /* (count, probe) */
    bool has_recent;
    own_lines_recent_t recent; /* the last; loss_sum and samples as above */
    json_t *losses;            /* as it knows them; NULL: none. Owned */
    long at;                   /* bytes that were read */
    bool bad;                  /* it is no such file */
} own_lines_t;

/* Reads the whole lines that were appended since the last call; a file of another epoch is read from its beginning. A missing
 * or other file is no error: head.epoch is then 0. false: no memory, and *own is as before or has a part of them. */
bool own_lines_look(own_lines_t *own, const char *directory, int process);

/* Reads the files of all processes in a directory: (*own)[i] of process i, NULL where it has none, or another file; *size: more
 * than the highest. Released with own_lines_free. SGP_ERR_NO_MEMORY; other errors are an empty list. */
sgp_status_t own_lines_read_all(const char *directory, own_lines_t ***own, int *size);
void own_lines_free(own_lines_t **own, int size);

/* Takes one line without its newline. false: it is none of such a file. */
bool own_lines_parse(own_lines_t *own, const char *line, size_t length);

/* Forgets everything, and frees what it holds. */
void own_lines_release(own_lines_t *own);

#endif
