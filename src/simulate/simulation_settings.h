/* SPDX-License-Identifier: Apache-2.0 */
/* What a simulation simulates, as plain data. */
#ifndef SGP_SIMULATE_SIMULATION_SETTINGS_H
#define SGP_SIMULATE_SIMULATION_SETTINGS_H

#include <sgp/sgp.h>

#include <stdint.h>

/* A gradient's time on one worker: log-normal around its mean, and now and then much longer. */
typedef struct simulation_compute {
    double mean_ms;
    double spread; /* standard deviation over mean */
    double tail;   /* probability of a step that takes SIMULATION_TAIL_FACTOR times as long */
} simulation_compute_t;

#define SIMULATION_TAIL_FACTOR 10

/* The gradient in buckets, as DistributedDataParallel makes them: bytes of one. Backward takes about twice as long as
 * forward, and the first bucket is full only some time after it has begun. */
#define SIMULATION_BUCKET_BYTES (25.0 * (1 << 20))
#define SIMULATION_FORWARD      (1.0 / 3)

/* Seconds: until a node that is silent is lost, sgp's default; and from then until all compute again. */
#define SIMULATION_NOTICE  10
#define SIMULATION_RESTART 60

/* Passes over the model's vector on a node, in milliseconds of one at float32. */
typedef struct simulation_local {
    double update_ms; /* the optimizer's step, after the gradient */
    double copy_ms;   /* writing a message */
    double absorb_ms; /* reading one into the vector */
} simulation_local_t;

/* The links of a node to a switch that is never busy, each way. */
typedef struct simulation_network {
    const char *name;        /* of the preset or the platform's file, "calibration" or "custom" */
    const char *platform;    /* SimGrid's file; NULL: the two below */
    double bytes_per_second; /* of payload */
    double latency_ms;       /* one way, from node to node */
} simulation_network_t;

typedef struct simulation_settings {
    double parameters; /* numbers in the model's vector; > 0 */
    simulation_compute_t compute;
    int workers;    /* per node */
    int batch_size; /* samples per worker and step */
    sgp_encoding_t encoding;
    simulation_network_t network;
    simulation_local_t local;
    const char *graph; /* NULL: by the algorithm */
    int peers;
    int overlap; /* of osgp */
    struct {
        int rank; /* -1: nobody */
        double factor;
    } slow;
    double failures_s;    /* mean time between failures of one node; 0: none */
    double distance_at_s; /* when the distance is measured as well; 0: never */
    int steps, warmup;    /* warmup: of the steps, not measured */
    uint64_t seed;
} simulation_settings_t;

#endif
