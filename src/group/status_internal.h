/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a group's status (group/group_status.h), for the files group_status.c and status_*.c alone. */
#ifndef SGP_GROUP_STATUS_INTERNAL_H
#define SGP_GROUP_STATUS_INTERNAL_H

#include "base/fork.h"
#include "group/post.h"
#include "group/status_curve.h"
#include "group/status_mixing.h"
#include "group/status_rows.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

/* X(identifier, name for sgp_group_report, least, most) */
#define SGP_STATUS_REPORT_MAP(X)                                                                   \
    X(LOSS, "loss", -INFINITY, INFINITY)                                                           \
    X(ACCURACY, "accuracy", 0, 1)                                                                  \
    X(SAMPLES, "samples", 0, INFINITY)                                                             \
    X(EPOCH, "epoch", 0, 1e9)                                                                      \
    X(EPOCHS, "epochs", 0, 1e9)                                                                    \
    X(SECONDS_LEFT, "seconds_left", 0, INFINITY)

typedef enum sgp_status_report {
#define SGP_STATUS_REPORT_ENUM(identifier, name, least, most) SGP_REPORT_##identifier,
    SGP_STATUS_REPORT_MAP(SGP_STATUS_REPORT_ENUM)
#undef SGP_STATUS_REPORT_ENUM
        SGP_REPORTS
} sgp_status_report_t;

/* A double that any thread reads and writes. */
typedef struct sgp_status_number {
    _Atomic uint64_t bits;
} sgp_status_number_t;

static inline void sgp_status_number_set(sgp_status_number_t *number, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    atomic_store_explicit(&number->bits, bits, memory_order_relaxed);
}
static inline double sgp_status_number_get(const sgp_status_number_t *number) {
    uint64_t bits = atomic_load_explicit(&number->bits, memory_order_relaxed);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Numbers of this node at the end of a step, of which the means over the last seconds are made. */
typedef struct sgp_status_sample {
    uint64_t steps, step_ns, wait_ns, ended;
    double samples;
    uint64_t samples_time;
} sgp_status_sample_t;

enum { SGP_STATUS_SAMPLES = 16 };

typedef struct sgp_status_window {
    sgp_status_sample_t of[SGP_STATUS_SAMPLES]; /* oldest first */
    int count;
} sgp_status_window_t;

/* Vectors from a member. */
typedef struct sgp_status_inflow {
    uint64_t bytes;       /* at the last look */
    uint64_t arrived;     /* when they last became more, to a look's precision; 0: never */
    uint64_t base, since; /* bytes, and when they were these */
    double rate;
} sgp_status_inflow_t;

/* What the group says of a seat. */
typedef struct sgp_status_seat {
    bool used;
    uint32_t incarnation;
    sgp_status_condition_t condition;
    uint64_t step; /* the last that this node has heard of */
    char reason[SGP_STATUS_TEXT];
} sgp_status_seat_t;

/* A member, as the gossip sees it. */
typedef struct sgp_status_peer {
    uint32_t incarnation; /* of the counts */
    uint32_t taken;       /* messages that it has taken */
    uint32_t told;        /* messages of it that it knows were taken */
    bool sends;           /* rows to this node */
    /* The way to it, if it wants rows: who brings its rows by the fewest hops; -1: nobody does. */
    int toward;
    unsigned hops;
    uint64_t toward_time; /* when it last did */
} sgp_status_peer_t;

/* Of the server's thread (status_serving.h). */
typedef struct sgp_status_serving sgp_status_serving_t;

struct sgp_group_status {
    sgp_group_t *group;
    sgp_transport_t *transport;
    sgp_inbox_t *inbox;
    int capacity, self;
    uint64_t run;               /* a number that no other run of this machine has */
    uint64_t start;             /* by the transport's clock */
    uint64_t began;             /* the same by the process's clock, that of log lines */
    char name[SGP_STATUS_TEXT]; /* of the run */
    /* The status of a part, which takes the place of this one; NULL: none. handing: held while it is in use. */
    sgp_group_status_t *_Atomic to;
    sgp_group_status_t *whole; /* of such a part */
    pthread_mutex_t handing;
    atomic_bool on;
    atomic_bool child; /* of a fork: others may have had the locks */
    sgp_fork_hook_t hook;
    atomic_bool asks;                         /* others for rows: it serves */
    bool wants;                               /* this node wants rows; set before others look */
    sgp_status_number_t reports[SGP_REPORTS]; /* NAN: none */
    _Atomic uint64_t samples_time;            /* of the last report of samples */
    const void *_Atomic mixer;                /* whose numbers these are */

    pthread_mutex_t lock; /* of the fields below; in the step path only tried */
    sgp_status_rows_t rows;
    sgp_status_mixing_t mixing;
    sgp_status_window_t window;
    sgp_status_seat_t *seats;              /* (capacity) */
    uint64_t looked;                       /* when the service last looked at this node */
    sgp_status_history_t *loss, *accuracy; /* NULL: this node wants no rows */
    double distance;
    uint64_t distance_step;

    /* Of the service, so of the caller that has the use of the transport: */
    sgp_post_t post;
    sgp_status_message_t message;
    unsigned char bytes[SGP_STATUS_MESSAGE_BYTES];
    sgp_status_peer_t *peers;     /* (capacity) */
    sgp_status_inflow_t *inflows; /* (capacity) */
    sgp_member_t *members;        /* (capacity) scratch */
    sgp_edge_t *edges;            /* (capacity) scratch */
    uint64_t received;            /* bytes of vectors */
    uint64_t memory, memory_time; /* resident; and when that was read */
    uint64_t next_send;
    int last_peer, last_wanter; /* to which a message went in turn, and towards which */
    int turn;
    bool ready, failed; /* what is on needs was allocated; there was no memory for it */
    char host[SGP_STATUS_ROW_HOST];

    sgp_status_serving_t *serving;               /* NULL: this node does not serve the page */
    void (*end_serving)(sgp_status_serving_t *); /* stops and frees it */
};

#endif
