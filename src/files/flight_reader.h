/* SPDX-License-Identifier: Apache-2.0 */
/* Reads flight-NODE.json (group/flight_file.h): the last events of a process, and what it waited for. For `sgp flight`. The file may be
 * damaged, or another program's: whatever it holds, a reader takes a bounded amount of memory, and every number that it gives
 * is within its range. */
#ifndef SGP_FILES_FLIGHT_READER_H
#define SGP_FILES_FLIGHT_READER_H

#include "base/flight.h"

#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLIGHT_BYTES = 8 << 20, /* of a file, at most */
    FLIGHT_TEXT = 192,      /* of a text, its end included */
    FLIGHT_NAME = 40,       /* of a short one */
    FLIGHT_GROUPS = 8,      /* of a process, at most */
    FLIGHT_NAMES = 64,      /* different texts of events, at most: more are "" */
    FLIGHT_PROBLEM = 128,
};

typedef struct flight_clock {
    int64_t monotonic, wall, within; /* nanoseconds */
} flight_clock_t;

/* Times are nanoseconds of the process's monotonic clock; 0: never. Peers are numbers of processes; -1: none. */
typedef struct flight_event {
    int64_t time;
    uint64_t step, number;
    int peer;
    uint32_t channel;
    uint8_t kind; /* sgp_flight_kind_t; SGP_FLIGHT_KINDS: one that this program does not know */
    uint8_t name; /* of names */
} flight_event_t;

typedef struct flight_wait {
    bool there;
    sgp_flight_what_t what;
    int peer;
    uint64_t step;
    int64_t since, woke;
    bool asleep;
    int *missing; /* (missing_count) all that it waits for, as far as it knows */
    size_t missing_count;
} flight_wait_t;

typedef enum flight_fate { FLIGHT_PRESENT, FLIGHT_LEFT, FLIGHT_LOST, FLIGHT_ABSENT } flight_fate_t;

typedef struct flight_peer {
    int process;
    flight_fate_t fate;
    bool silent;
    uint64_t step; /* by its heartbeats; 0: not known */
    int64_t arrived, sent;
    uint64_t arrived_step, sent_step;
    char why[FLIGHT_TEXT]; /* it was lost */
} flight_peer_t;

typedef struct flight_group {
    char transport[FLIGHT_NAME];
    int process, size, capacity;
    bool elastic;
    uint64_t steps;           /* 1 + the last one that began; 0: none */
    int64_t called, returned; /* the last public call */
    char call[FLIGHT_NAME];   /* that runs; "": none */
    flight_wait_t caller, messages, failed;
    size_t peer_count;
    flight_peer_t *peers;
    uint64_t before[SGP_FLIGHT_CONTEXTS]; /* events that the ring has forgotten */
    size_t event_count[SGP_FLIGHT_CONTEXTS];
    flight_event_t *events[SGP_FLIGHT_CONTEXTS]; /* in order of time */
} flight_group_t;

typedef struct flight_node {
    char run[FLIGHT_TEXT], host[FLIGHT_TEXT], boot[FLIGHT_TEXT];
    char why[FLIGHT_NAME], status[FLIGHT_NAME], text[FLIGHT_TEXT];
    int process, workers;
    int64_t incarnation, pid;
    flight_clock_t clocks[2]; /* when the first group began, and when the file was written */
    size_t group_count;
    flight_group_t groups[FLIGHT_GROUPS];
    size_t name_count;
    char names[FLIGHT_NAMES][FLIGHT_NAME]; /* the first one is "" */
} flight_node_t;

/* *node: undefined on failure. problem: why, for a line behind the file's name. SGP_ERR_FORMAT, SGP_ERR_NO_MEMORY. */
sgp_status_t flight_parse(const char *bytes, size_t count, flight_node_t *node,
                          char problem[FLIGHT_PROBLEM]);

/* The same of a file. SGP_ERR_IO, too. */
sgp_status_t flight_read(const char *path, flight_node_t *node, char problem[FLIGHT_PROBLEM]);

/* Zeros are fine. */
void flight_release(flight_node_t *node);

#endif
