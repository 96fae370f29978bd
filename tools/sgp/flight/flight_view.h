/* SPDX-License-Identifier: Apache-2.0 */
/* tools/sgp/flight is what `sgp flight` does: it merges the flight recorders of a run's nodes (files/flight_reader.h), finds out who
 * waited for whom at the end, and says so in words, as JSON, or as a trace. Called by command_flight.c alone; it never talks to a
 * running node.
 *
 * This header: the merged files, and what was found out about each process. A process is a node, or a worker of one. */
#ifndef SGP_FLIGHT_FLIGHT_VIEW_H
#define SGP_FLIGHT_FLIGHT_VIEW_H

#include "files/flight_reader.h"

/* ---- the files (flight_folder.c, flight_clocks.c) ---- */

typedef struct flight_source {
    char *path; /* owned */
    flight_node_t node;
    int machine;    /* processes of one machine share its clock */
    int64_t offset; /* nanoseconds: to a time of this process this is added */
} flight_source_t;

typedef struct flight_files {
    size_t count;
    flight_source_t *sources; /* (count) of one run, by process and incarnation */
    size_t left_out;          /* files of other runs */
    int machines;
    int64_t doubt; /* nanoseconds by which times of two machines may be wrong; -1: not known */
} flight_files_t;

/* Reads DIR/flight-*.json; those of the run that wrote last are kept. Prints one line about each mistake. An exit status.
 * The caller releases *files, which zeros are fine for. */
int flight_files_read(const char *directory, flight_files_t *files);
void flight_files_release(flight_files_t *files);

/* Sets machine and offset of each source: by the wall clocks, and where machines have sent each other messages, so that no message
 * arrives before it was begun. false: out of memory. */
bool flight_clocks_align(flight_files_t *files);

/* ---- who waited for whom (flight_looks.c) ---- */

typedef enum flight_state {
    FLIGHT_NOBODY,  /* no process has this number */
    FLIGHT_GONE,    /* no file; it had left, or was lost */
    FLIGHT_UNKNOWN, /* no file */
    FLIGHT_WAITS,   /* inside a call */
    FLIGHT_INSIDE,  /* inside a call, waiting for nothing */
    FLIGHT_OUTSIDE, /* outside of sgp's calls: it computes */
} flight_state_t;

/* Of a process, when its file was written; of one without a file, as the others know it. */
typedef struct flight_look {
    flight_state_t state;
    const flight_source_t *source; /* NULL: no file */
    const flight_group_t *group;   /* of the wait, or of the call */
    const flight_wait_t *wait;     /* WAITS */
    double seconds;                /* in this state */
    uint64_t steps;                /* so many it had begun; 0: none, or not known */
    int next;         /* WAITS: the process that it waits for, as far as it is known; -1 */
    double under_way; /* WAITS: the message was sent so many seconds before; NAN: it was not */
    int root;         /* WAITS: where the chain of waits ends; -1: in a circle, or nowhere */
    int circle;       /* the lowest process of the circle in which the chain ends; -1: in none */
    int distance;     /* waits to the root, or to the circle */
    bool lost;        /* GONE */
    char why[FLIGHT_TEXT]; /* it was lost */
    int heard_by;          /* no file: who heard of it last; -1: nobody */
    double heard;          /* seconds before that one's file */
} flight_look_t;

typedef struct flight_looks {
    int processes;
    flight_look_t *of; /* (processes) */
} flight_looks_t;

/* false: out of memory. */
bool flight_looks_take(const flight_files_t *files, flight_looks_t *looks);
void flight_looks_release(flight_looks_t *looks);

/* The processes that a wait is for, as far as the waiting one knew. */
static inline const int *flight_wait_peers(const flight_wait_t *wait, size_t *count) {
    *count = wait->missing_count ? wait->missing_count : wait->peer >= 0;
    return wait->missing_count ? wait->missing : &wait->peer;
}

/* ---- output; exit statuses ---- */

int flight_words_print(const flight_files_t *files, const flight_looks_t *looks);
int flight_json_print(const flight_files_t *files, const flight_looks_t *looks);

/* Prints one line about a failure. */
int flight_trace_write(const flight_files_t *files, const char *path);

/* "node 3 waits 12.4 s for the message of step 34 from node 1"; "node 1 computes for 12.5 s ...". */
enum { FLIGHT_SENTENCE = 640 };
void flight_sentence(const flight_looks_t *looks, int process, char text[FLIGHT_SENTENCE]);

#endif
