/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of a simulation, as a plain struct. */
#ifndef SGP_SIMULATE_SIMULATION_SETTINGS_H
#define SGP_SIMULATE_SIMULATION_SETTINGS_H

#include <sgp/sgp.h>

#include <stdint.h>

/* The time of one worker's gradient: log-normal around its mean, with a tail of much longer ones. */
typedef struct simulation_compute {
    double mean_ms;
    double spread; /* standard deviation over mean */
    double tail;   /* probability of a step that takes SIMULATION_TAIL_FACTOR times as long */
} simulation_compute_t;

#define SIMULATION_TAIL_FACTOR 10

/* The gradient in buckets, as in DistributedDataParallel: bytes of one bucket, and the share of the forward pass in a
 * gradient's time. Backward takes about twice as long as forward, and fills the buckets one after the other. */
#define SIMULATION_BUCKET_BYTES (25.0 * (1 << 20))
#define SIMULATION_FORWARD      (1.0 / 3)

/* Where a run begins again after a failure: seconds from the failure until the node is lost, sgp's default, and from then
 * until all nodes compute again. Where it goes on: seconds until nobody waits for the node any more. */
#define SIMULATION_NOTICE  10
#define SIMULATION_RESTART 60
#define SIMULATION_SILENCE 0.5

#define SIMULATION_CHECKPOINT 1 /* seconds to write one */

/* Passes over the model's vector on a node, in milliseconds each, at float32. */
typedef struct simulation_local {
    double update_ms; /* the optimizer's step, after the gradient */
    double copy_ms;   /* writing a message */
    double absorb_ms; /* adding one to the vector */
} simulation_local_t;

/* The link of a node to a switch with unlimited capacity, each way. */
typedef struct simulation_network {
    const char *name;        /* of the preset or the platform's file, "calibration" or "custom" */
    const char *platform;    /* a SimGrid file; NULL: the two below */
    double bytes_per_second; /* of payload */
    double latency_ms;       /* one way, from node to node */
} simulation_network_t;

typedef struct simulation_settings {
    double parameters; /* numbers in the model's vector; > 0 */
    simulation_compute_t compute;
    int workers;             /* per node */
    int batch_size;          /* samples per worker and step */
    sgp_encoding_t encoding; /* required */
    simulation_network_t network;
    simulation_local_t local;
    const char *graph; /* a name; NULL: the algorithm's */
    int peers;         /* >= 1 */
    int overlap;       /* of osgp */
    int rounds;        /* of sgp and dpsgd: exchanges per step, or SGP_ROUNDS_AUTO; >= 1 */
    struct {
        int rank; /* -1: none */
        double factor;
    } slow;
    double failures_s; /* mean time between failures of one node; 0: none */
    double repair_s; /* from a failure until a node in its place takes part; below 0: none comes */
    double distance_at_s; /* a second time at which the distance is measured; 0: none */
    int steps, warmup;    /* of each node; the first `warmup` of them are not measured */
    uint64_t seed;
    /* The failing nodes (simulation_failing) fail at times in this span; all zero: none fails. Those of a run without
     * failures that is to be compared with this one. */
    struct {
        double from_s, to_s;
    } failing;
} simulation_settings_t;

#endif
