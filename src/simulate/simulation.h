/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `sgp simulate` share: what is simulated, and what comes out. */
#ifndef SGP_SIMULATE_SIMULATION_H
#define SGP_SIMULATE_SIMULATION_H

#include <sgp/sgp.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIMULATE_LIST = 16 /* entries of --nodes and of --algorithm */ };

/* How the nodes of a row average. The first two are the library's own code, as in a real run. */
typedef enum simulate_kind {
    SIMULATE_MIXER, /* sgp_mixer_step, with the algorithm below */
    SIMULATE_BUCKETS, /* the library's all-reduce of a bucket while the gradients of the next are computed */
    SIMULATE_RING, /* the all-reduce around a ring: 2 (n - 1) messages of 1/n of the vector, one
                         after the other */
    SIMULATE_HALVING, /* halves, quarters, ... of the vector to nodes half, a quarter, ... of the way around,
                         and back */
    SIMULATE_TREE /* the whole vector up and down a binomial tree */
} simulate_kind_t;

typedef struct simulate_algorithm {
    const char *name;
    simulate_kind_t kind;
    sgp_algorithm_t algorithm;
    bool async; /* overlap without bound, whatever --overlap says */
    const char *about;
} simulate_algorithm_t;

/* NULL: there is none of that name. */
const simulate_algorithm_t *simulate_algorithm(const char *name);

/* "sgp, osgp, ..." */
const char *simulate_algorithm_names(void);

/* A gradient's time on one worker: log-normal around its mean, and now and then much longer. */
typedef struct simulate_compute {
    double mean_ms;
    double spread; /* standard deviation over mean */
    double tail;   /* probability of a step that takes SIMULATE_TAIL_FACTOR times as long */
} simulate_compute_t;

#define SIMULATE_TAIL_FACTOR 10

/* The gradient in buckets, as DistributedDataParallel makes them: bytes of one. Backward takes about twice as long as
 * forward, and the first bucket is full only some time after it has begun. */
#define SIMULATE_BUCKET_BYTES (25.0 * (1 << 20))
#define SIMULATE_FORWARD      (1.0 / 3)

/* Seconds: until a node that is silent is lost, sgp's default; and from then until all compute again. */
#define SIMULATE_NOTICE  10
#define SIMULATE_RESTART 60

/* ImageNet's training images, and how often they are seen. */
#define SIMULATE_SAMPLES 1281167.0
#define SIMULATE_EPOCHS  90

/* Passes over the model's vector on a node, in milliseconds of one at float32. */
typedef struct simulate_local {
    double update_ms; /* the optimizer's step, after the gradient */
    double copy_ms;   /* writing a message */
    double absorb_ms; /* reading one into the vector */
} simulate_local_t;

/* The links of a node to a switch that is never busy, each way. */
typedef struct simulate_network {
    const char *name;        /* of the preset or the platform's file, "calibration" or "custom" */
    const char *platform;    /* SimGrid's file; NULL: the two below */
    double bytes_per_second; /* of payload */
    double latency_ms;       /* one way, from node to node */
} simulate_network_t;

typedef struct simulate_settings {
    int nodes[SIMULATE_LIST];
    int nodes_count;
    const simulate_algorithm_t *algorithms[SIMULATE_LIST];
    int algorithms_count;
    const char *model; /* of the list in simulate_network.c; NULL: --parameters alone */
    double parameters; /* 0: not given */
    simulate_compute_t compute;
    int workers;    /* per node */
    int batch_size; /* samples per worker and step */
    const char *encoding_name;
    sgp_encoding_t encoding;
    const char *network_name;
    simulate_network_t network;
    double rate_mbps;        /* 0: the preset's */
    double latency_ms;       /* below 0: the preset's */
    const char *calibration; /* a file of `sgp bench`; NULL: none */
    simulate_local_t local;
    double
        pass_parameters; /* numbers that a calibration's passes are over; 0: those of the model */
    const char *graph;   /* NULL: by the algorithm */
    int peers;
    int overlap; /* of osgp */
    struct {
        int rank; /* -1: nobody */
        double factor;
    } slow;
    double failures_s;    /* mean time between failures of one node; 0: none */
    double distance_at_s; /* when the distance is measured as well; 0: never */
    int steps, warmup;    /* warmup: of the steps, not measured; below 0: a fifth */
    uint64_t seed;
    const char *output;
    const char *command; /* that made it, without what only says where it goes; NULL: not known */
    bool json, quiet, help;
    /* Which of them the command line said: what a calibration does not overwrite. */
    bool compute_given, local_given, network_given, parameters_given;
} simulate_settings_t;

/* One line of the table, of the steps after the warm-up. All nodes make the same number of steps, as in `sgp train`:
 * a step takes what passes until the last node has made them, over their number. Nodes that do not wait make
 * theirs sooner, each in its own time; the other milliseconds are means over the nodes' own steps. */
typedef struct simulate_row {
    double step_ms;
    double node_ms;                /* mean over the nodes of each one's mean step */
    double fastest_ms, slowest_ms; /* the mean step of the fastest and of the slowest node */
    double gradient_ms;            /* as drawn: the slowest worker of a node */
    double wait_ms;                /* asleep for messages */
    double samples_per_second;     /* of all, in a step */
    double bytes_per_step;         /* simulated bytes that a node sends */
    /* Root mean square over nodes and coordinates of z - mean z, over the standard deviation of what one
     * local step adds; NAN: not all steps were made. */
    double distance;
    /* The same after settings.distance_at_s, each node with the first step that it ends then or later; mean over the
     * nodes of the steps until then. NAN: some did not get so far. */
    double distance_at, steps_at;
    double seconds;  /* simulated, to the end of the last step */
    int steps;       /* that every node has made */
    int failed_node; /* -1: none */
    double failed_seconds;
} simulate_row_t;

/* A small vector stands for the model's: numbers in it, and simulated bytes of the whole. */
size_t simulate_length(const simulate_settings_t *settings, const simulate_algorithm_t *algorithm,
                       int nodes);
double simulate_bytes(const simulate_settings_t *settings);

/* The mixer's options of a row; SIMULATE_MIXER. */
sgp_mixer_options_t simulate_mixer_options(const simulate_settings_t *settings,
                                           const simulate_algorithm_t *algorithm, int nodes);

/* Simulates a row in this process, which can do it once. told: called now and then with the first node's step. */
sgp_status_t simulate_nodes(const simulate_settings_t *settings,
                            const simulate_algorithm_t *algorithm, int nodes, const char *platform,
                            void (*told)(int step, void *user), void *user, simulate_row_t *row);

/* The same in a child process, with lines of progress. Returns the exit status, and has said what went wrong; where
 * interrupt_signal asks for an end, it has ended the child and says nothing. */
int simulate_row(const simulate_settings_t *settings, const simulate_algorithm_t *algorithm,
                 int nodes, const char *platform, const char *label, simulate_row_t *row);

/* Whether the platform's file is one, with hosts and links enough for so many nodes. The same. */
int simulate_probe(const simulate_settings_t *settings, int nodes);

/* ---- the cluster ---- */

/* Parameters of a model that is known by name; 0: it is not. */
double simulate_model_parameters(const char *name);
const char *simulate_model_names(void);

/* The preset of a name; false: there is none. */
bool simulate_network_find(const char *name, simulate_network_t *network);
const char *simulate_network_names(void);

/* A file in memory with a platform of so many hosts, for SimGrid to read as /proc/self/fd/N; -1 after a line. */
int simulate_network_file(const simulate_network_t *network, int hosts);

/* Reads a calibration into what the command line has left open. false after a line. */
bool simulate_calibration_read(simulate_settings_t *settings);

/* ---- what comes out ---- */

/* Rows are (algorithms_count, nodes_count), simulated in this order. */
static inline int simulate_rows_count(const simulate_settings_t *settings) {
    return settings->algorithms_count * settings->nodes_count;
}

/* The table on standard output, in 80 columns: its head, a row, and what its words mean. rows: of this algorithm, the
 * first up to `at`. */
void simulate_print_head(const simulate_settings_t *settings);
void simulate_print_row(const simulate_settings_t *settings, int algorithm,
                        const simulate_row_t *rows, int at);
void simulate_print_legend(const simulate_settings_t *settings);

/* directory/simulation.json with the first `finished` rows, "interrupted" if these are not all, and on standard output
 * with --json; false after a line. */
bool simulate_write(const simulate_settings_t *settings, const simulate_row_t *rows, int finished);

/* The mean gradient with its update over the step: samples per second over those of as many nodes that compute,
 * are equally fast, and never wait. */
double simulate_efficiency(const simulate_settings_t *settings, const simulate_row_t *row);

/* Hours for 90 epochs of ImageNet, 1,281,167 images, without evaluation. */
double simulate_hours(const simulate_row_t *row);

/* The same where a node fails now and then and all go back to the last epoch's checkpoint. */
double simulate_hours_with_restarts(const simulate_settings_t *settings, int nodes,
                                    const simulate_row_t *row);

#endif
