/* SPDX-License-Identifier: Apache-2.0 */
/* What a node knows of its run at one moment: of itself by its own counters, of the other members by the rows that they send
 * (group/status_rows.h). The status server shows it and nothing else, so that a page, status.json and the metrics agree.
 *
 * Plain data without pointers into the group: the group fills it in, and the server, a module of its own, reads its copy.
 * A number that nobody has reported is NAN, a count that nobody has reported is 0, a text is "". Texts end in a 0 byte and
 * may hold anything else: they come from users and other machines, so whoever shows one must escape it. */
#ifndef SGP_STATUS_SNAPSHOT_H
#define SGP_STATUS_SNAPSHOT_H

#include <sgp/log.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SGP_STATUS_HOST = 64,    /* bytes of a host's name, the last one 0 */
    SGP_STATUS_TEXT = 128,   /* of other short texts */
    SGP_STATUS_LINE = 256,   /* of a log line */
    SGP_STATUS_LINES = 32,   /* log lines that are kept */
    SGP_STATUS_POINTS = 512, /* of a curve; a longer one is thinned out, its ends kept */
};

typedef enum sgp_status_condition {
    SGP_STATUS_LIVE,
    SGP_STATUS_SILENT,  /* not heard of for a while */
    SGP_STATUS_JOINING, /* has a seat, and has not taken its first step */
    SGP_STATUS_LEFT,    /* orderly */
    SGP_STATUS_GONE,    /* lost */
} sgp_status_condition_t;

typedef struct sgp_status_member {
    int seat;             /* its rank in the group */
    uint32_t incarnation; /* counts the uses of the seat, from 0 */
    sgp_status_condition_t condition;
    char host[SGP_STATUS_HOST];
    char reason[SGP_STATUS_TEXT]; /* why it is gone, or what it waits for */
    uint64_t gone_step;           /* the last step before it left or was lost */
    uint64_t step, epoch;         /* steps taken; the epoch it is in, from 1; 0: none */
    double age;                   /* seconds since its numbers were new, by this node's clock */
    double samples_per_second;
    double step_ms, compute_ms, update_ms, wait_ms; /* means over its last seconds */
    double weight;                                  /* push-sum w */
    double loss, accuracy;             /* of training, last; of the last evaluation, 0 to 1 */
    double bytes_sent, bytes_received; /* payload since its start */
    uint64_t sent, received, lost, late, refused, resent; /* messages since its start */
    uint64_t memory;                                      /* bytes resident */
} sgp_status_member_t;

/* From src to dst, in the step that this node is in, or in the last seconds. */
typedef struct sgp_status_edge {
    int src, dst;
    bool in_step;            /* of the graph of the node's present step */
    double bytes_per_second; /* payload */
    double
        age; /* seconds since the last message arrived at dst; NAN: none has, or dst has not said */
} sgp_status_edge_t;

/* Over the whole run, as this node knows it. */
typedef struct sgp_status_point {
    double seconds; /* since the start */
    double step;
    double value;
} sgp_status_point_t;

typedef struct sgp_status_curve {
    size_t count;
    sgp_status_point_t point[SGP_STATUS_POINTS];
} sgp_status_curve_t;

typedef struct sgp_status_line {
    double seconds; /* since the start */
    int level;      /* sgp_log_level_t */
    char text[SGP_STATUS_LINE];
} sgp_status_line_t;

typedef struct sgp_status_snapshot {
    char run[SGP_STATUS_TEXT]; /* the name that its user gave it */
    uint64_t run_id;
    char algorithm[SGP_STATUS_TEXT], graph[SGP_STATUS_TEXT], encoding[SGP_STATUS_TEXT],
        transport[SGP_STATUS_TEXT];
    int self;            /* seat of this node */
    double seconds;      /* since the start */
    double seconds_left; /* NAN: not known */
    uint64_t epochs;     /* of the whole run; 0: not known */
    double distance;     /* consensus, of the last average */
    uint64_t distance_step;
    bool finished;
    size_t members;              /* in member[] */
    sgp_status_member_t *member; /* (members) in order of seat; owned by the snapshot */
    size_t edges;
    sgp_status_edge_t *edge; /* (edges) owned by the snapshot */
    sgp_status_curve_t loss,
        accuracy; /* of this node's reports, averaged over the members where it knows theirs */
    size_t lines;
    sgp_status_line_t line[SGP_STATUS_LINES]; /* oldest first */
} sgp_status_snapshot_t;

/* Where the server's snapshots come from. */
typedef struct sgp_status_source {
    void *context;
    /* Fills in *snapshot, a struct that is zeroed or was filled in before; takes no lock of the step path, and is called at
     * most twice a second, by one thread of the server. SGP_ERR_NO_MEMORY: *snapshot is as before. */
    sgp_status_t (*take)(void *context, sgp_status_snapshot_t *snapshot);
    void (*release)(void *context, sgp_status_snapshot_t *snapshot);
    /* Writes this node's flight recorder to its file. NULL: it has none. */
    sgp_status_t (*write_flight)(void *context);
} sgp_status_source_t;

/* How it is served. */
typedef struct sgp_status_server_options {
    const char *address;    /* "PORT" or "HOST:PORT"; port 0: any free one */
    const char *token_file; /* NULL: none */
    bool insecure;          /* no token on an address that is not loopback */
    sgp_log_fn
        log; /* gets the module's lines (rank -1), which has no log of its own; NULL: they are lost */
    void *log_user;
} sgp_status_server_options_t;

/* The module's functions (libsgp-status.so), found by these names. start: SGP_ERR_INVALID, SGP_ERR_IO, SGP_ERR_SYSTEM (the
 * port is taken, or not allowed), SGP_ERR_NO_MEMORY, with one line logged; *port: where it listens. The log is used during
 * the call alone. stop ends its thread and frees it; NULL is fine. Neither is called in a forked child. */
typedef struct sgp_status_server sgp_status_server_t;
typedef sgp_status_t sgp_status_server_start_t(const sgp_status_server_options_t *options,
                                               const sgp_status_source_t *source, int *port,
                                               sgp_status_server_t **server);
typedef void sgp_status_server_stop_t(sgp_status_server_t *server);
#define SGP_STATUS_START "sgp_status_server_start"
#define SGP_STATUS_STOP  "sgp_status_server_stop"

#endif
